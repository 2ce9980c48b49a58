package storage

import (
	"context"
	"fmt"
)

// WithDatabase is the URL of another database on the same server. It must be a PostgreSQL URL.
func (u URL) WithDatabase(name string) URL {
	s := *u.server
	s.database = name
	u.server = &s
	return u
}

// Reveal is the URL with its password, for handing it to a process of our own in its environment. It must never be
// printed. ParseURL reads it back.
func (u URL) Reveal() string {
	if u.server == nil {
		return u.String()
	}
	return u.server.text(true)
}

// Scratcher creates a database of the given name on the server of a URL. Drop removes it, with whatever is connected.
type Scratcher func(ctx context.Context, on URL, name string) (drop func(context.Context) error, err error)

var scratchers = map[Dialect]Scratcher{}

// RegisterScratch makes a backend's Scratcher known to CreateScratch; a backend calls it from init.
func RegisterScratch(d Dialect, s Scratcher) { scratchers[d] = s }

// CreateScratch creates a throw-away database beside the one that the URL names, and gives its URL and what drops it.
func CreateScratch(ctx context.Context, on URL, name string) (URL, func(context.Context) error, error) {
	create, ok := scratchers[on.Dialect]
	if !ok {
		return URL{}, nil, fmt.Errorf("%w: the backend of %s makes no throw-away databases", ErrConfig, on)
	}
	drop, err := create(ctx, on, name)
	if err != nil {
		return URL{}, nil, err
	}
	return on.WithDatabase(name), drop, nil
}
