package torture

import (
	"syscall"
	"time"
)

// fault is a way to mistreat a rig.
type fault struct {
	name string
	// begin breaks something; end mends it. When end returns, nothing of the fault is left.
	begin func(r *rig) (end func())
	// others says that the other replicas are to go on at once: their stall counts from the beginning, and the fault ends when
	// they have taken over. Otherwise it counts from the end.
	others      bool
	least, most time.Duration // how long it lasts, where others is false
}

// inject strikes once, at a random moment, and measures.
func (r *rig) inject(f fault) {
	r.t.Helper()
	r.runs++
	r.pause(r.between(50*time.Millisecond, 600*time.Millisecond))
	began := time.Now()
	end := f.begin(r)
	if f.others {
		r.recovered(began)
		end()
	} else {
		r.pause(r.between(f.least, f.most))
		end()
		r.recovered(time.Now())
	}
	r.mend()
}

// injectTwo strikes with a second fault while the first lasts, and measures when both have ended.
func (r *rig) injectTwo(a, b fault) {
	r.t.Helper()
	r.runs++
	r.pause(r.between(50*time.Millisecond, 600*time.Millisecond))
	endA := a.begin(r)
	r.pause(r.between(0, 500*time.Millisecond))
	endB := b.begin(r)
	r.pause(r.between(0, 2*time.Second))
	endA()
	endB()
	r.recovered(time.Now())
	r.mend()
}

// someone is a replica that is alive.
func (r *rig) someone() *replica {
	first := r.rng.IntN(len(r.replicas))
	for i := range r.replicas {
		if w := r.replicas[(first+i)%len(r.replicas)]; w.alive() {
			return w
		}
	}
	r.t.Fatal("no replica is alive")
	return nil
}

// killed is for both backends.
var killed = fault{name: "SIGKILL of a worker", others: true, begin: func(r *rig) func() {
	r.someone().kill()
	return r.mend
}}

var paused = fault{name: "SIGSTOP of a worker, then SIGCONT", least: 100 * time.Millisecond, most: 4 * time.Second, begin: func(r *rig) func() {
	w := r.someone()
	w.signal(syscall.SIGSTOP)
	return func() { w.signal(syscall.SIGCONT) }
}}
