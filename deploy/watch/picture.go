package watch

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Curve is a series of a panel, as Prometheus answered.
type Curve struct {
	Name   string
	Points []Point
}

// A Point is a value at a time. NaN is a gap.
type Point struct {
	At    time.Time
	Value float64
}

// Sizes of a picture, in its own units: a column of Grafana's grid is 50 wide.
const (
	columnWidth = 50
	rowHeight   = 26
	gap         = 8
	inset       = 10
	legendLine  = 14
	legendMost  = 6  // entries; the last counts the rest
	legendWide  = 25 // characters of an entry; what is longer is cut
	curvesMost  = 10 // those with the greatest values
)

// palette is that of Okabe and Ito, which people who see colours differently can tell apart.
var palette = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#a0522d"}

// Picture draws the dashboard as SVG, with the curves of each panel by its title, over the time from one moment to another.
func (d Dashboard) Picture(answers map[string][]Curve, from, to time.Time) []byte {
	var b strings.Builder
	y := gap
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	put(`<text x="%d" y="%d" class="h">%s</text>`, inset, y+18, html.EscapeString(d.Title))
	put(`<text x="%d" y="%d" class="s" text-anchor="end">%s</text>`, gridWidth*columnWidth-inset, y+18,
		html.EscapeString(fmt.Sprintf("%s to %s UTC", from.UTC().Format("15:04:05"), to.UTC().Format("15:04:05"))))
	y += rowHeight + gap
	for _, r := range d.Rows {
		put(`<text x="%d" y="%d" class="r">%s</text>`, inset, y+16, html.EscapeString(r.Title))
		y += rowHeight
		x, height := 0, 0
		for _, p := range r.Panels {
			w, h := curveWidth*columnWidth, curveHeight*rowHeight
			if p.Number {
				w, h = numberSize*columnWidth, numberSize*rowHeight
			}
			if x+w > gridWidth*columnWidth {
				x, y, height = 0, y+height, 0
			}
			put(`<g transform="translate(%d %d)">`, x+gap/2, y+gap/2)
			put(`<rect width="%d" height="%d" rx="3" class="p"/><text x="%d" y="18" class="t">%s</text>`, w-gap, h-gap, inset, html.EscapeString(p.Title))
			if p.Number {
				drawNumbers(put, p, answers[p.Title])
			} else {
				drawCurves(put, p, answers[p.Title], w-gap, h-gap, from, to)
			}
			put(`</g>`)
			x, height = x+w, max(height, h)
		}
		y += height + gap
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">
<title>%s</title>
<style>.h{font-size:17px;font-weight:600}.r{font-size:14px;font-weight:600}.t{font-weight:600}.s{fill:#666;font-size:10.5px}.n{font-size:21px;font-weight:600;fill:#0072b2}.p{fill:#fff;stroke:#d0d0d0}.g{stroke:#e6e6e6}</style>
<rect width="100%%" height="100%%" fill="#f6f7f8"/>
%s</svg>
`, gridWidth*columnWidth, y, html.EscapeString(d.Title), b.String())
}

// drawNumbers shows the last value of each curve; those at 0 beside others that are not are left out.
func drawNumbers(put func(string, ...any), p Panel, curves []Curve) {
	type number struct {
		name  string
		value float64
	}
	var all, some []number
	for _, c := range curves {
		for i := len(c.Points) - 1; i >= 0; i-- {
			if v := c.Points[i].Value; !math.IsNaN(v) {
				all = append(all, number{c.Name, v})
				if v != 0 {
					some = append(some, all[len(all)-1])
				}
				break
			}
		}
	}
	if len(some) == 0 && len(all) > 0 {
		some = all[:1]
		if len(all) > 1 {
			some[0].name = "each of " + strconv.Itoa(len(all))
		}
	}
	for i, n := range some[:min(len(some), 3)] {
		put(`<text x="%d" y="%d" class="n">%s</text><text x="%d" y="%d" class="s" text-anchor="end">%s</text>`,
			inset, 52+20*i, p.Unit.format(n.value), numberSize*columnWidth-gap-inset, 52+20*i, html.EscapeString(n.name))
	}
}

func drawCurves(put func(string, ...any), p Panel, curves []Curve, w, h int, from, to time.Time) {
	curves = slices.Clone(curves)
	slices.SortStableFunc(curves, func(a, b Curve) int { return cmp.Compare(b.most(), a.most()) })
	top := 1.0
	if len(curves) > 0 {
		top = p.Unit.ceiling(curves[0].most())
	}
	if len(curves) > legendMost && curves[0].most() == 0 { // which of them are drawn would be chance
		longest := slices.MaxFunc(curves, func(a, b Curve) int { return cmp.Compare(len(a.Points), len(b.Points)) })
		curves = []Curve{{Name: "all of them", Points: longest.Points}}
	}
	total := len(curves)
	curves = curves[:min(total, curvesMost)]
	shown := min(len(curves), legendMost)
	const left, above = 58, 36
	right, below := float64(w-inset), float64(h-12-((shown+1)/2)*legendLine)
	for i := range 3 {
		y := above + (below-above)*float64(i)/2
		put(`<line x1="%d" x2="%.0f" y1="%.1f" y2="%.1f" class="g"/><text x="%d" y="%.1f" class="s" text-anchor="end">%s</text>`,
			left, right, y, y, left-6, y+4, p.Unit.format(top*float64(2-i)/2))
	}
	for i, c := range curves {
		var path strings.Builder
		pen := "M"
		for _, point := range c.Points {
			if math.IsNaN(point.Value) || math.IsInf(point.Value, 0) {
				pen = "M"
				continue
			}
			x := left + (right-left)*point.At.Sub(from).Seconds()/to.Sub(from).Seconds()
			fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, below-(below-above)*max(point.Value, 0)/top)
			pen = "L"
		}
		colour := palette[i%len(palette)]
		if len(curves) == 1 && path.Len() > 0 && strings.Count(path.String(), "M") == 1 {
			first, last := c.Points[0].At, c.Points[len(c.Points)-1].At
			at := func(t time.Time) float64 { return left + (right-left)*t.Sub(from).Seconds()/to.Sub(from).Seconds() }
			put(`<path d="%sL%.1f %.1fL%.1f %.1fZ" fill="%s" fill-opacity="0.1"/>`, path.String(), at(last), below, at(first), below, colour)
		}
		put(`<path d="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-linejoin="round"/>`, path.String(), colour)
		if i < legendMost {
			name := c.Name
			if i == legendMost-1 && total > legendMost {
				name = fmt.Sprintf("and %d more", total-i)
			}
			if len([]rune(name)) > legendWide {
				name = string([]rune(name)[:legendWide-1]) + "…"
			}
			x, y := inset+(i%2)*(w/2-inset), int(below)+16+(i/2)*legendLine
			put(`<rect x="%d" y="%d" width="9" height="3" fill="%s"/><text x="%d" y="%d" class="s">%s</text>`, x, y-5, colour, x+13, y, html.EscapeString(name))
		}
	}
}

// most is the greatest value of a curve.
func (c Curve) most() float64 {
	top := 0.0
	for _, point := range c.Points {
		if !math.IsNaN(point.Value) && !math.IsInf(point.Value, 0) {
			top = max(top, point.Value)
		}
	}
	return top
}

// ceiling is the end of an axis, at or above the greatest value: 1, 2 or 5 times a power of ten, a power of two for bytes, and
// for a time of minutes a number that clocks have.
func (u Unit) ceiling(v float64) float64 {
	switch {
	case v <= 0:
		return 1
	case u == Bytes:
		return math.Pow(2, math.Ceil(math.Log2(v)))
	case u == Seconds && v > 20 && v <= 3600:
		for _, step := range []float64{30, 60, 120, 300, 600, 1200, 1800, 3600} {
			if v <= step {
				return step
			}
		}
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 5} {
		if v <= step*power {
			return step * power
		}
	}
	return 10 * power
}

// format writes a value with its unit.
func (u Unit) format(v float64) string {
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	scaled := func(v float64, base float64, names ...string) string {
		i := 0
		for math.Abs(v) >= base && i < len(names)-1 {
			v, i = v/base, i+1
		}
		if math.Abs(v) >= 100 {
			return strconv.FormatFloat(v, 'f', 0, 64) + names[i]
		}
		return short(v) + names[i]
	}
	switch u {
	case Seconds:
		if v >= 1 || v <= 0 {
			return scaled(v, 60, " s", " min", " h")
		}
		return scaled(v*1e6, 1000, " µs", " ms")
	case Share:
		return short(v*100) + " %"
	case Bytes:
		return scaled(v, 1024, " B", " KiB", " MiB", " GiB")
	case PerSecond:
		return scaled(v, 1000, "", "k", "M") + "/s"
	case Count:
	}
	return scaled(v, 1000, "", "k", "M")
}

// Named names a curve by its labels, as Grafana fills in a query's legend.
func (q Query) Named(labels map[string]string) string {
	name := q.Legend
	for label, value := range labels {
		name = strings.ReplaceAll(name, "{{"+label+"}}", value)
	}
	return name
}
