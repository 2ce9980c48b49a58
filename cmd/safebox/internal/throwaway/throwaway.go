// Package throwaway makes databases for commands that show or measure something and leave nothing behind.
package throwaway

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/safebox/safebox/storage"
)

// Database makes a database for a purpose, a word that its name will hold: on PostgreSQL beside the one that on names, on
// SQLite in a folder of its own beside the file that on names, or in the system's temporary folder. Remove takes all of it
// away.
func Database(ctx context.Context, on storage.URL, purpose string) (u storage.URL, remove func(context.Context) error, err error) {
	if on.Dialect == storage.PostgreSQL {
		return storage.CreateScratch(ctx, on, "safebox_"+purpose+"_"+random())
	}
	parent := ""
	if on.Path != "" {
		parent = filepath.Dir(on.Path)
		if err := os.MkdirAll(parent, 0o750); err != nil {
			return u, nil, fmt.Errorf("%w: the folder for the throw-away database: %w", storage.ErrConfig, err)
		}
	}
	dir, err := os.MkdirTemp(parent, "safebox-"+purpose+"-*")
	if err != nil {
		return u, nil, fmt.Errorf("%w: the folder for the throw-away database: %w", storage.ErrConfig, err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return u, nil, err
	}
	return storage.URL{Dialect: storage.SQLite, Path: filepath.Join(dir, "database.db")},
		func(context.Context) error { return os.RemoveAll(dir) }, nil
}

func random() string {
	b := make([]byte, 5)
	rand.Read(b)
	return fmt.Sprintf("%x", b)
}
