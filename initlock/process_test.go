package initlock

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
)

// The model: a lock, a marker and three processes, each of which does one step at a time. Any of them may be killed
// before any step, the session that holds the lock may die under it, an answer may get lost after the deed, work may
// fail or be told to stop, and a lock may be refused for no reason. Budgets bound how often.

const (
	processes = 3
	nobody    = -1
)

type release struct {
	digest, revision, oldest string
	known                    string // "": revision
}

var (
	first       = release{"d1", "r1", "r1", ""}
	reseeded    = release{"d1b", "r1", "r1", ""}
	compatible  = release{"d2", "r2", "r1", ""}
	contracting = release{"d3", "r2", "r2", ""}
	downgrading = release{"schema r0", "r0", "r0", "r1"} // an operator's command of the first release
	releases    = []release{first, reseeded, compatible, contracting, downgrading}
)

func (r release) knows() string { return cmp.Or(r.known, r.revision) }

func (r release) process(force bool) process {
	return process{me: build{r.digest, r.knows(), force}}
}

type member struct {
	p       process
	rel     release
	force   bool
	gone    bool // killed for good
	session bool // the connection that took the lock lives
}

type world struct {
	marker  Record
	holder  int
	members [processes]member
	did     [5]bool // work of that release ended well
	crashes int     // left
	kills   int     // of sessions, left
	losses  int     // of answers, left
	fails   int     // of work, left
	stops   int     // of work, left
	turns   int
	zombies bool // the loss of the lock goes unnoticed by the work, as when somebody removes a lock file
}

// key identifies a world; members of the same release are interchangeable.
type key struct {
	members [processes][9]int8
	world   [12]int8
}

func (w *world) key() (k key) {
	for i, m := range w.members {
		k.members[i] = [9]int8{
			flags(m.force, m.gone, m.session, m.p.worked, w.holder == i), int8(releaseOf(m.rel.digest)), int8(m.p.next),
			int8(m.p.verdict), stateOf(m.p.seen.State), int8(m.p.seen.Epoch), int8(m.p.awaited), int8(m.p.epoch),
		}
	}
	slices.SortFunc(k.members[:], func(a, b [9]int8) int { return slices.Compare(a[:], b[:]) })
	k.world = [12]int8{
		stateOf(w.marker.State), int8(w.marker.Epoch), int8(releaseOf(w.marker.Digest)), flags(w.did[:]...), int8(w.crashes),
		int8(w.kills), int8(w.losses), int8(w.fails), int8(w.stops), int8(slices.IndexFunc(releases, func(r release) bool {
			return r.revision == w.marker.Revision && r.oldest == w.marker.OldestCompatible
		})),
	}
	return k
}

func (w world) String() string {
	text := fmt.Sprintf("marker %s %d %s", w.marker.State, w.marker.Epoch, w.marker.Digest)
	for i, m := range w.members {
		text += fmt.Sprintf("; step %d verdict %d awaited %d epoch %d session %t lock %t gone %t", m.p.next, m.p.verdict, m.p.awaited,
			m.p.epoch, m.session, w.holder == i, m.gone)
	}
	return text
}

func flags(bits ...bool) (n int8) {
	for i, bit := range bits {
		if bit {
			n |= 1 << i
		}
	}
	return n
}

func stateOf(s State) int8 {
	return int8(slices.Index([]State{Absent, Running, Ready, Failed}, s))
}

func releaseOf(digest string) int {
	return slices.IndexFunc(releases, func(r release) bool { return r.digest == digest })
}

func (w *world) releaseLock(i int) {
	if w.holder == i {
		w.holder = nobody
	}
	w.members[i].session = false
}

// moves lists the worlds that one step of member i may lead to. The first is the one without any mishap.
func (w world) moves(i int) []world {
	var out []world
	m := w.members[i]
	if m.gone || m.p.next == stepDone {
		return nil
	}
	add := func(change func(*world, *member)) {
		after := w
		change(&after, &after.members[i])
		out = append(out, after)
	}
	lost := func(_ *world, m *member) { m.p = m.p.lost() }
	// deed does what changes the marker, and may lose the answer.
	deed := func(do func(*world), told func(*world, *member)) {
		if !m.session && !w.zombies {
			add(lost)
			return
		}
		add(func(w *world, m *member) { do(w); told(w, m) })
		if w.losses > 0 {
			add(func(w *world, m *member) { do(w); w.losses--; w.releaseLock(i); m.p = m.p.lost() })
		}
	}
	switch m.p.next {
	case stepRead:
		add(func(w *world, m *member) { m.p = m.p.sawMarker(w.marker) })
	case stepTryLock:
		if w.holder == nobody {
			add(func(w *world, m *member) { w.holder = i; m.session = true; m.p = m.p.locked() })
		}
		add(func(_ *world, m *member) { m.p = m.p.refused() })
	case stepReadLocked:
		if !m.session && !w.zombies {
			add(lost)
		} else {
			add(func(w *world, m *member) { m.p = m.p.sawMarker(w.marker) })
		}
	case stepBegin:
		epoch := w.marker.Epoch + 1
		deed(func(w *world) {
			w.marker.State, w.marker.Epoch, w.marker.Digest = Running, epoch, m.rel.digest
		}, func(_ *world, m *member) { m.p = m.p.begun(epoch) })
	case stepWork:
		if m.session || w.zombies {
			add(func(w *world, m *member) { w.did[releaseOf(m.rel.digest)] = true; m.p = m.p.succeeded() })
		}
		if w.fails > 0 || !m.session {
			add(func(w *world, m *member) { w.fails = max(0, w.fails-1); m.p = m.p.failed() })
		}
		if w.stops > 0 {
			add(func(w *world, m *member) { w.stops--; m.p = m.p.stopped() })
		}
	case stepFinish:
		if w.marker.Epoch != m.p.epoch && (m.session || w.zombies) {
			add(func(_ *world, m *member) { m.p = m.p.outrun() })
			break
		}
		deed(func(w *world) {
			w.marker.State = Failed
			if m.p.worked {
				w.marker.State, w.marker.Revision, w.marker.OldestCompatible = Ready, m.rel.revision, m.rel.oldest
			}
		}, func(_ *world, m *member) { m.p = m.p.finished() })
	case stepRelease:
		add(func(w *world, m *member) { w.releaseLock(i); m.p = m.p.released() })
	case stepWait:
		add(func(_ *world, m *member) { m.p = m.p.woke() })
	}
	if w.crashes > 0 {
		add(func(w *world, m *member) { w.crashes--; w.releaseLock(i); m.gone = true })
		add(func(w *world, m *member) { w.crashes--; w.releaseLock(i); m.p = m.rel.process(m.force) })
	}
	if w.kills > 0 && w.holder == i {
		add(func(w *world, _ *member) { w.kills--; w.releaseLock(i) })
	}
	return out
}

func (v verdict) success() bool {
	return v == alreadyReady || v == followed || v == led || v == newer
}

// check tells what is wrong with a world that member i's step led to.
func (w *world) check(i int, before *world) error {
	working := 0
	for _, m := range w.members {
		if m.p.next == stepWork && m.session && !m.gone {
			working++
		}
	}
	if working > 1 {
		return fmt.Errorf("invariant 1: %d leaders at work", working)
	}
	if w.marker.State == Ready && !w.did[releaseOf(w.marker.Digest)] {
		return fmt.Errorf("invariant 2: ready with %s, whose work nobody has done", w.marker.Digest)
	}
	if w.marker.Epoch < before.marker.Epoch {
		return fmt.Errorf("invariant 3: the epoch went from %d to %d", before.marker.Epoch, w.marker.Epoch)
	}
	was, is, knows := before.members[i].p, w.members[i].p, w.members[i].rel.knows()
	switch is.verdict {
	case was.verdict:
		return nil
	case alreadyReady, followed, led:
		if w.marker.State != Ready || w.marker.Digest != is.me.digest {
			return fmt.Errorf("verdict %d with the marker %+v", is.verdict, w.marker)
		}
	case newer:
		if knows >= w.marker.Revision || w.marker.OldestCompatible > knows {
			return fmt.Errorf("invariant 8: goes on with %+v", w.marker)
		}
	case incompatible:
		if w.marker.OldestCompatible <= knows {
			return fmt.Errorf("invariant 8: refuses %+v", w.marker)
		}
	case leaderFailed:
		if was.awaited == 0 || w.marker.Epoch < was.awaited || w.marker.State != Failed {
			return fmt.Errorf("invariant 7: waited on %d and was told of %+v", was.awaited, w.marker)
		}
	}
	if is.verdict != undecided && was.me.force && (is.verdict == alreadyReady || is.verdict == followed) {
		return fmt.Errorf("a forced run did not lead: %d", is.verdict)
	}
	return nil
}

// settle lets everybody who lives go on without mishaps, in turns, and tells what is wrong with the end.
func (w world) settle() error {
	before := w
	for again := true; again; {
		again = false
		for i := range w.members {
			if ms := w.moves(i); len(ms) > 0 {
				w, again = ms[0], true
			}
		}
		if w.turns++; w.turns > 60 {
			return fmt.Errorf("invariant 6: they never end: %v", w)
		}
	}
	good, bad := 0, 0
	for i, m := range w.members {
		switch {
		case m.gone || before.members[i].p.verdict != undecided:
		case m.p.verdict.success():
			good++
		default:
			bad++
		}
	}
	if w.holder != nobody {
		return fmt.Errorf("invariant 6: member %d still has the lock", w.holder)
	}
	if bad == 0 && good > 0 && w.marker.State != Ready {
		return fmt.Errorf("invariant 6: all ended well and the marker is %+v", w.marker)
	}
	return w.comeLate()
}

// comeLate lets one more process come, whatever the others left behind: it ends well.
func (w world) comeLate() error {
	rel := first
	if w.marker.OldestCompatible == contracting.oldest {
		rel = contracting
	}
	w.members = [processes]member{{p: rel.process(false), rel: rel}, {gone: true}, {gone: true}}
	for ms := w.moves(0); len(ms) > 0; ms = w.moves(0) {
		if w = ms[0]; w.members[0].p.next == stepWait {
			return fmt.Errorf("invariant 6: a process that came later waits for nobody on %+v", w.marker)
		}
	}
	if !w.members[0].p.verdict.success() {
		return fmt.Errorf("invariant 6: a process that came later ended with %d on %+v", w.members[0].p.verdict, w.marker)
	}
	return nil
}

func TestEveryInterleavingOfThreeProcesses(t *testing.T) {
	all := func(r release) [processes]release { return [processes]release{r, r, r} }
	absent := Record{}
	old := Record{State: Ready, Epoch: 1, Digest: "d1", Revision: "r1", OldestCompatible: "r1"}
	for _, c := range []struct {
		name    string
		start   Record
		builds  [processes]release
		forced  int // that many of them
		mishaps world
	}{
		{"an empty database and two deaths", absent, all(first), 0, world{crashes: 2}},
		{"an empty database, a death and a lost session", absent, all(first), 0, world{crashes: 1, kills: 1}},
		{"an empty database, lost answers", absent, all(first), 0, world{crashes: 1, losses: 1}},
		{"an empty database, work that fails or is stopped", absent, all(first), 0, world{crashes: 1, fails: 1, stops: 1}},
		{"a marker left running by a dead leader", Record{State: Running, Epoch: 1, Digest: "d1"}, all(first), 0, world{crashes: 1}},
		{"a failure from before", Record{State: Failed, Epoch: 1, Digest: "d1"}, all(first), 0, world{crashes: 1, fails: 1}},
		{"an old schema and two seeds", Record{State: Ready, Epoch: 1, Digest: "d1", Revision: "r0"}, [processes]release{first, first, reseeded}, 0, world{crashes: 1}},
		{"an old and a new compatible build", absent, [processes]release{first, first, compatible}, 0, world{crashes: 1}},
		{"an old and a new contracting build", absent, [processes]release{first, first, contracting}, 0, world{crashes: 1}},
		{"an operator's command among replicas", absent, all(first), 1, world{crashes: 1}},
		{"two operators' commands on a ready database", Record{State: Ready, Epoch: 1, Digest: "d1", Revision: "r1"}, all(first), 2, world{fails: 1}},
		{"an operator's downgrade among replicas", old, [processes]release{downgrading, first, first}, 1, world{crashes: 1}},
		{"an operator's downgrade that fails or is stopped", old, [processes]release{downgrading, first, first}, 1, world{fails: 1, stops: 1}},
		{"an operator's downgrade while a newer build starts", old, [processes]release{downgrading, first, contracting}, 1, world{}},
		{"a lock that is lost unnoticed", absent, all(first), 0, world{kills: 1, zombies: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := c.mishaps
			start.marker, start.holder = c.start, nobody
			start.did[0] = c.start.State == Ready
			for i, r := range c.builds {
				forced := i < c.forced
				start.members[i] = member{p: r.process(forced), rel: r, force: forced}
			}
			explore(t, start)
		})
	}
}

func explore(t *testing.T, start world) {
	type node struct {
		world
		from *node
	}
	visited := map[key]bool{start.key(): true}
	fail := func(err error, at *node) {
		for ; at != nil; at = at.from {
			t.Log("after", at.world)
		}
		t.Fatal(err)
	}
	for open := []*node{{start, nil}}; len(open) > 0; {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		if err := at.settle(); err != nil {
			fail(err, at)
		}
		for i := range at.members {
			for _, after := range at.moves(i) {
				if err := after.check(i, &at.world); err != nil {
					fail(err, at)
				}
				if k := after.key(); !visited[k] {
					visited[k] = true
					open = append(open, &node{after, at})
				}
			}
		}
	}
	t.Logf("%d states", len(visited))
}
