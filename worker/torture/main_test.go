package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage/dbtest"
)

// asClient holds the orders of a process that is a client: the test binary started again.
const asClient = "SAFEBOX_TORTURE_CLIENT"

func TestMain(m *testing.M) {
	if text := os.Getenv(asClient); text != "" {
		if err := beClient(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dbtest.Main(m, removeBuilds)
}

// orders are what a client's process is told.
type orders struct {
	Name            string
	Seed            uint64
	Number, Clients int
	Journal         string
	Database        string   // for reads
	Addresses       []string // of the replicas; empty: it publishes with the program
	Program, Dir    string
	Env             []string
	Pause           time.Duration
}

// clientPatience is how long a client tries to get its last batch answered after it was told to stop.
const clientPatience = 60 * time.Second

// beClient acts a script until standard input ends.
func beClient(text string) error {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	j, err := NewJournal(o.Journal)
	if err != nil {
		return err
	}
	defer j.Close()
	db, err := openDatabase(o.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	c := Client{Name: o.Name, Script: NewScript(o.Seed, o.Number, o.Clients), Journal: j, DB: db, Pause: o.Pause}
	if len(o.Addresses) > 0 {
		c.Send = ByHTTP(o.Addresses)
	} else {
		c.Send = ByProgram(o.Program, o.Dir, o.Env)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is the sign
		close(stop)
		time.AfterFunc(clientPatience, cancel)
	}()
	err = c.Run(ctx, stop)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("the last batch was not answered within %v: %w", clientPatience, err)
	}
	return err
}

// openDatabase opens a database by the program's URL for it.
func openDatabase(url string) (*sql.DB, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
		return sql.Open("sqlite3", "file:"+path+"?mode=rw&_pragma=busy_timeout(4000)")
	}
	return sql.Open("pgx", url)
}
