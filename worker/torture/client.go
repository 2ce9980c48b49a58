package torture

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Client acts a script out: it sends a batch, again and again until it is answered, and writes down what happens. Then it reads.
type Client struct {
	Name    string
	Script  *Script
	Journal *Journal
	Send    func(ctx context.Context, events []Event) ([]Line, error)
	DB      *sql.DB       // for reads
	Pause   time.Duration // between two batches
}

// attempt bounds one attempt to send, and one read.
const attempt = 4 * time.Second

// Run goes on until stop is closed, and then until the batch in hand is answered; ctx is the hard end.
func (c *Client) Run(ctx context.Context, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		if err := c.batch(ctx, c.Script.Batch()); err != nil {
			return err
		}
		if n%4 == 0 {
			if err := c.read(ctx); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.Pause):
		}
	}
}

func (c *Client) batch(ctx context.Context, events []Event) error {
	for {
		sent := make([]Line, len(events))
		for i := range events {
			sent[i] = Line{Op: Sent, At: now(), Event: &events[i]}
		}
		if err := c.Journal.write(sent...); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, attempt)
		answers, err := c.Send(try, events)
		cancel()
		if err == nil {
			return c.Journal.write(answers...)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: giving a batch up: %w", c.Name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// read reads a wallet, of whichever client, and where the log ends in one partition. Where it cannot, it has read nothing.
func (c *Client) read(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	s := c.Script
	subject := npub(s.seed, s.rng.IntN(s.clients), s.rng.IntN(2))
	l := Line{Op: Wallet, Began: now(), Subject: subject}
	err := c.DB.QueryRowContext(limited, `SELECT coalesce(max(entry_count), 0), coalesce(max(balance), 0) FROM registeredsafebox WHERE npub = '`+subject+`'`).
		Scan(&l.Entries, &l.Balance)
	if err == nil {
		l.At = now()
		if err := c.Journal.write(l); err != nil {
			return err
		}
	}
	l = Line{Op: Head, Began: now(), Partition: partitionOf(npub(s.seed, s.client, s.rng.IntN(max(1, s.wallets))))}
	err = c.DB.QueryRowContext(limited, fmt.Sprintf(`SELECT coalesce(max(position), 0) FROM event_log WHERE topic = 'wallet' AND partition = %d`, l.Partition)).
		Scan(&l.Position)
	if err == nil {
		l.At = now()
		return c.Journal.write(l)
	}
	return nil
}

// ByHTTP sends to one of the replicas, and to the next after a failure.
func ByHTTP(addresses []string) func(context.Context, []Event) ([]Line, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	next := 0
	return func(ctx context.Context, events []Event) ([]Line, error) {
		lines, err := post(ctx, client, addresses[next%len(addresses)], events)
		if err != nil {
			next++
			client.CloseIdleConnections()
		}
		return lines, err
	}
}

func post(ctx context.Context, client *http.Client, address string, events []Event) ([]Line, error) {
	batch := make([]json.RawMessage, len(events))
	for i, e := range events {
		batch[i] = e.Envelope()
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s (%w)", address, resp.Status, text, err)
	}
	var out struct {
		Results []struct {
			ID, Source, Result, Field string
			Partition                 int
			Position                  int64
		}
	}
	if err := json.Unmarshal(text, &out); err != nil || len(out.Results) != len(events) {
		return nil, fmt.Errorf("%s answers %d of %d events: %s (%w)", address, len(out.Results), len(events), text, err)
	}
	lines := make([]Line, len(events))
	at := now()
	for i, r := range out.Results {
		lines[i] = Line{
			Op: Answered, At: at, Source: r.Source, ID: r.ID, Result: r.Result, Field: r.Field, Partition: r.Partition, Position: r.Position,
		}
	}
	return lines, nil
}

// ByProgram sends with `safebox event publish`, which says of a good line no more than that it was taken.
func ByProgram(program, dir string, env []string) func(context.Context, []Event) ([]Line, error) {
	return func(ctx context.Context, events []Event) ([]Line, error) {
		var b bytes.Buffer
		for _, e := range events {
			b.Write(e.Envelope())
			b.WriteByte('\n')
		}
		file := filepath.Join(dir, "batch.jsonl")
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program, "event", "publish", file, "--json")
		cmd.Env, cmd.Dir = env, dir
		var problems bytes.Buffer
		cmd.Stderr = &problems
		out, failed := cmd.Output()
		var sum struct {
			Lines    int
			Problems []struct {
				Line          int
				Result, Field string
			}
		}
		if err := json.Unmarshal(out, &sum); err != nil || sum.Lines != len(events) || failed != nil && cmd.ProcessState.ExitCode() != 65 {
			return nil, fmt.Errorf("event publish: %w: %s %s", failed, out, problems.Bytes())
		}
		lines := make([]Line, len(events))
		at := now()
		for i, e := range events {
			lines[i] = Line{Op: Answered, At: at, Source: e.Source, ID: e.ID, Result: ResultTaken}
		}
		for _, p := range sum.Problems {
			lines[p.Line-1].Result, lines[p.Line-1].Field = p.Result, p.Field
		}
		return lines, nil
	}
}
