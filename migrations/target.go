package migrations

import (
	"fmt"

	"github.com/safebox/safebox/storage"
)

// Target names the revision at which an upgrade of a database in this state would end: of head, +n or a revision. It is
// a *TargetError when there is no such revision or it lies behind, so that a slip of the pen can be refused before
// anything is locked.
func Target(d storage.Dialect, s State, target string) (string, error) {
	set, ok := sets()[d]
	if !ok {
		return "", fmt.Errorf("there are no migrations for the dialect %q", d)
	}
	place, err := set.target(target, set.index(s.Revision))
	if err != nil {
		return "", err
	}
	return set.revisions[place].ID, nil
}
