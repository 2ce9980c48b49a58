package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/safebox/safebox/storage"
)

// Whatever a URL says, the driver is configured by it or it is refused; no error shows the password, and a configuration
// that insists on TLS verifies whom it talks to.
func FuzzConnConfig(f *testing.F) {
	for _, raw := range []string{
		"postgresql://u:hunter2secret@h:1/db?sslmode=require", "postgresql://u:hunter2secret@h1,h2:5/db?sslmode=verify-full&connect_timeout=3",
		"postgresql://u:hunter2secret@/db?host=/run&port=1", "postgresql://u:hunter2secret@h/d'b?options=-c%20a%3D'b'&application_name=x%5C'",
		"postgresql://u:hunter2secret@h/db?sslpassword=hunter2secret&sslmode=prefer", "postgresql://u:hunter2secret@h/db?sslrootcert=system&sslmode=require",
		"postgresql://u:hunter2secret@h/db?target_session_attrs=read-write&statement_cache_capacity=9999999999",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := storage.ParseURL(raw)
		if err != nil || u.Dialect != storage.PostgreSQL {
			return
		}
		c, err := connConfig(u, "role", "instance", nil)
		if err != nil {
			if !errors.Is(err, storage.ErrConfig) {
				t.Fatalf("%q: %v", raw, err)
			}
			if password, ok := u.Password(); ok && len(password) > 8 && strings.Contains(err.Error(), password) {
				t.Fatalf("the password is shown: %v", err)
			}
			return
		}
		if u.Settings()["sslmode"] == "require" && c.TLSConfig != nil && c.TLSConfig.InsecureSkipVerify && c.TLSConfig.VerifyPeerCertificate == nil {
			t.Fatalf("%q trusts anybody", raw)
		}
		if want := u.Database(); want != "" && c.Database != want {
			t.Fatalf("%q leads to the database %q, want %q", raw, c.Database, want)
		}
	})
}
