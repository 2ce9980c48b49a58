package initlock

// step is what a process does next.
type step uint8

const (
	stepRead       step = iota // read the marker, without the lock
	stepTryLock                // ask for the lock
	stepReadLocked             // read the marker again, under the lock
	stepBegin                  // write running with a new epoch
	stepWork                   // initialise
	stepFinish                 // write how it ended
	stepRelease                // give the lock back
	stepWait                   // pause until the marker may have changed
	stepDone
)

// verdict is how it ends for a process; undecided while it does not.
type verdict uint8

const (
	undecided    verdict = iota
	alreadyReady         // found ready
	followed             // waited, then found ready
	led                  // did the work and declared it ready
	newer                // found a newer schema that this build may use
	incompatible         // found a newer schema that this build must not use
	leaderFailed         // the leader we waited on declared its failure
	workFailed           // our own work failed, and that is declared as far as it could be
	abandoned            // our own work was told to stop: nobody failed
	fenced               // another leader began while we worked
)

// build is what a process knows of itself.
type build struct {
	digest string
	known  string // the newest revision
	force  bool
}

// process is the protocol for one process as a pure state machine: next says what to do, and each method tells what
// came of that and returns the process after it. It does no input or output, knows no clock and is comparable, so that
// a test can walk through every interleaving of several of them.
type process struct {
	me   build
	next step

	seen    Record // the marker as last read
	awaited int64  // the oldest epoch whose failure is ours to report; 0: never waited
	epoch   int64  // ours, from Begin on
	worked  bool   // our work ended well
	verdict verdict
}

// sawMarker takes in the marker, read with or without the lock.
func (p process) sawMarker(r Record) process {
	p.seen = r
	p.verdict = p.judge(r)
	locked := p.next == stepReadLocked
	switch {
	case p.verdict != undecided && locked:
		p.next = stepRelease
	case p.verdict != undecided:
		p.next = stepDone
	case locked:
		p.next = stepBegin
	default:
		p.next = stepTryLock
	}
	return p
}

// judge says what a marker means; undecided: somebody has to lead.
func (p process) judge(r Record) verdict {
	switch {
	case r.State == Ready && r.Revision > p.me.known && r.Digest != p.me.digest:
		if r.OldestCompatible <= p.me.known {
			return newer
		}
		return incompatible
	case p.me.force:
		return undecided
	case r.State == Ready && r.Digest == p.me.digest && p.awaited > 0:
		return followed
	case r.State == Ready && r.Digest == p.me.digest:
		return alreadyReady
	// The failure of a leader with another digest says nothing about our own work.
	case r.State == Failed && r.Digest == p.me.digest && p.awaited > 0 && r.Epoch >= p.awaited:
		return leaderFailed
	default:
		return undecided
	}
}

// locked says that the lock is ours.
func (p process) locked() process {
	p.next = stepReadLocked
	return p
}

// refused says that another has the lock, or may have it: it is always safe to say so.
//
// The epoch we wait on is that of the running leader; where the marker shows none, the one that the lock's holder is
// about to begin. A failure that the marker showed before that is old news.
func (p process) refused() process {
	if p.awaited == 0 {
		p.awaited = p.seen.Epoch
		if p.seen.State != Running {
			p.awaited++
		}
	}
	p.next = stepWait
	return p
}

// woke ends a pause.
func (p process) woke() process {
	p.next = stepRead
	return p
}

// begun says that the marker is running with our epoch.
func (p process) begun(epoch int64) process {
	p.epoch = epoch
	p.next = stepWork
	return p
}

// succeeded, failed and stopped say how the work ended; stopped is for work that was told to end before it was done.
// That is nobody's failure: the marker stays as it is, and the free lock tells the next process to lead.
func (p process) succeeded() process {
	p.worked = true
	p.next = stepFinish
	return p
}

func (p process) failed() process {
	p.verdict = workFailed
	p.next = stepFinish
	return p
}

func (p process) stopped() process {
	p.verdict = abandoned
	p.next = stepRelease
	return p
}

// finished says that the marker shows how our work ended.
func (p process) finished() process {
	if p.worked {
		p.verdict = led
	}
	p.next = stepRelease
	return p
}

// outrun says that the marker's epoch is no longer ours.
func (p process) outrun() process {
	if p.worked {
		p.verdict = fenced
	}
	p.next = stepRelease
	return p
}

// lost says that the connection which holds the lock failed us: whatever was asked for last may or may not have
// happened. Work that ended well but could not be declared so is looked at afresh.
func (p process) lost() process {
	p.worked = false
	p.next = stepRelease
	return p
}

// released says that the lock is no longer ours.
func (p process) released() process {
	p.next = stepDone
	if p.verdict == undecided {
		p.next = stepRead
	}
	return p
}
