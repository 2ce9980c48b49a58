package migrations

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

func TestTheBuiltInSeedHasEveryCurrencyInUse(t *testing.T) {
	// ISO 4217's national currencies after Bulgaria's change to the euro on 2026-01-01; funds and metals are none.
	const inUse = `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
		CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
		INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
		MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK
		SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF
		XCD XCG XOF XPF YER ZAR ZMW ZWG`
	seed, err := LoadSeed("")
	if err != nil {
		t.Fatal(err)
	}
	want := append(strings.Fields(inUse), "SAT")
	base := map[string]int32{}
	for _, c := range seed.Currencies {
		if c.Rate != nil || c.Symbol == "" || c.Description == "" || c.NumberToBase == nil || (*c.NumberToBase == 1) != (c.FractionalUnit == "") {
			t.Errorf("%+v", c)
			continue
		}
		base[c.Code] = *c.NumberToBase
	}
	for _, code := range want {
		if _, ok := base[code]; !ok {
			t.Errorf("%s is missing", code)
		}
	}
	if len(seed.Currencies) != len(want) {
		t.Errorf("%d currencies, want %d", len(seed.Currencies), len(want))
	}
	for code, n := range map[string]int32{"SAT": 1, "USD": 100, "JPY": 1, "KWD": 1000, "TND": 1000, "MGA": 5, "XOF": 1} {
		if base[code] != n {
			t.Errorf("%s has %d units to its base, want %d", code, base[code], n)
		}
	}
}

func TestASeedFileMayHaveItsColumnsInAnyOrder(t *testing.T) {
	seed := loadText(t, "\uFEFFnumber_to_base,currency_code,refresh_time,currency_rate,currency_symbol\r\n"+
		"100,CAD,2025-01-29 14:23:50.320343,146861.86,$\r\n\r\n,NCR,,,\"n\"\"c\"\r\n")
	rate, base := 146861.86, int32(100)
	at := seed.Currencies[0].RefreshedAt
	if at.Format("2006-01-02 15:04:05.000000") != "2025-01-29 14:23:50.320343" {
		t.Errorf("refreshed at %s", at)
	}
	want := []Currency{{Code: "CAD", Rate: &rate, Symbol: "$", RefreshedAt: at, NumberToBase: &base}, {Code: "NCR", Symbol: `n"c`}}
	if diff := cmp.Diff(want, seed.Currencies); diff != "" {
		t.Error(diff)
	}
}

func loadText(t *testing.T, content string) Seed {
	t.Helper()
	seed, err := LoadSeed(write(t, content))
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "currencies.csv")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAMalformedSeedIsRefusedWithItsPlace(t *testing.T) {
	const head = "currency_code,currency_rate,number_to_base\n"
	cases := []struct {
		name, content, want string
		line, column        int
	}{
		{"an empty file", "", "is empty", 1, 1},
		{"an unknown column", "currency_code,colour\n", `unknown column "colour"`, 1, 15},
		{"a column twice", "currency_code,currency_code\n", "twice", 1, 15},
		{"no code column", "currency_rate\n", "no column currency_code", 1, 1},
		{"a row without a header", "USD,1,100\n", `unknown column "USD"`, 1, 1},
		{"too few fields", head + "USD,1,100\nCAD,1\n", "has 2 fields where the header has 3", 3, 1},
		{"too many fields", head + "USD,1,100,9\n", "has 4 fields where the header has 3", 2, 11},
		{"an empty code", head + ",1,100\n", "currency_code is empty", 2, 1},
		{"a code in small letters", head + "usd,1,100\n", `currency_code is "usd"`, 2, 1},
		{"a code with a space", head + " USD,1,100\n", `currency_code is " USD"`, 2, 1},
		{"a code twice", head + "USD,1,100\nCAD,,\nUSD,,\n", "USD is there twice: line 2 has it first", 4, 1},
		{"a rate that is no number", head + "USD,1.2.3,100\n", `currency_rate is "1.2.3"`, 2, 5},
		{"a rate below zero", head + "USD,-1,100\n", `currency_rate is "-1"`, 2, 5},
		{"a rate without end", head + "USD,Inf,100\n", `currency_rate is "Inf"`, 2, 5},
		{"a rate that is not a number by name", head + "USD,NaN,100\n", `currency_rate is "NaN"`, 2, 5},
		{"a broken base", head + "USD,1,1.5\n", `number_to_base is "1.5"`, 2, 7},
		{"a base of zero", head + "USD,1,0\n", `number_to_base is "0"`, 2, 7},
		{"a base too large", head + "USD,1,2147483648\n", "number_to_base is", 2, 7},
		{"a broken time", "currency_code,refresh_time\nUSD,yesterday\n", `refresh_time is "yesterday"`, 2, 5},
		{"a quote that never ends", head + "USD,\"1,100\n", "not well-formed CSV", 2, 0},
		{"a quote inside a field", head + "U\"SD,1,100\n", "not well-formed CSV", 2, 2},
		{"a byte that is not UTF-8", head + "USD,1,100\nCA\xff,1,1\n", "0xff, which is not UTF-8", 3, 3},
		{"a NUL", head + "USD,1,100\nC\x00D,1,1\n", "control character 0x00", 3, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			name := write(t, c.content)
			_, err := LoadSeed(name)
			var bad *SeedError
			if !errors.As(err, &bad) || bad.ExitCode() != 65 {
				t.Fatalf("error %v", err)
			}
			if bad.File != name || bad.Line != c.line || c.column > 0 && bad.Column != c.column || !strings.Contains(bad.Problem, c.want) {
				t.Errorf("line %d, column %d: %s", bad.Line, bad.Column, bad.Problem)
			}
		})
	}
}

func TestASeedFileThatCannotBeReadIsAQuestionOfConfiguration(t *testing.T) {
	for name, path := range map[string]string{"missing": filepath.Join(t.TempDir(), "none.csv"), "a folder": t.TempDir()} {
		_, err := LoadSeed(path)
		var bad *SeedError
		if !errors.As(err, &bad) || bad.ExitCode() != 78 || !strings.Contains(err.Error(), "CURRENCY_CSV") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadSeed(filepath.Join(t.TempDir(), "none.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// Invariant 6.
func TestTheSeedAddsCurrenciesAndChangesNone(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		o := options(d)
		o.Seed = loadText(t, "currency_code,currency_rate,refresh_time\nSAT,1,2026-01-02 03:04:05\nUSD,,\n")
		o.Supported = []string{"USD"}
		r, err := Prepare(ctx, db, o)
		if err != nil || r.Seeded != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		o.Seed = loadText(t, "currency_code,currency_rate\nSAT,7\nEUR,3\n")
		if r, err = Prepare(ctx, db, o); err != nil || r.Seeded != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		rows := query(t, db, "SELECT currency_code, currency_rate, currency_symbol, number_to_base FROM currencyrate ORDER BY currency_code")
		if diff := cmp.Diff([]string{"EUR | 3 | <nil> | <nil>", "SAT | 1 | <nil> | <nil>", "USD | <nil> | <nil> | <nil>"}, rows); diff != "" {
			t.Error(diff)
		}
		if got := one(t, db, "SELECT CAST(refresh_time AS varchar) FROM currencyrate WHERE currency_code = 'SAT'"); !strings.HasPrefix(got, "2026-01-02 03:04:05") {
			t.Errorf("refresh_time %s", got)
		}
	})
}

func TestMissingSupportedCurrenciesAreNamedBeforeAnythingIsWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		o := options(d)
		o.Supported = []string{"SAT", "ZZZ", "YYY"}
		_, err := Prepare(ctx, db, o)
		var bad *SupportedError
		if !errors.As(err, &bad) || bad.ExitCode() != 78 || !strings.Contains(err.Error(), "YYY, ZZZ") {
			t.Fatalf("error %v", err)
		}
		if left := describe(t, db, d); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		alembic(t, db, d, "20260416_0003")
		o.Supported, o.Seed = []string{"EUR"}, Seed{Source: "empty", Currencies: []Currency{}}
		if _, err := Prepare(ctx, db, o); err != nil { // the database itself has it
			t.Error(err)
		}
	})
}

func FuzzParseSeed(f *testing.F) {
	f.Add(builtIn)
	f.Add([]byte("currency_code,currency_rate\nUSD,1\n"))
	f.Add([]byte("currency_code\n\"U\nSD\"\n"))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, content []byte) {
		seed, err := parseSeed("f", content)
		var bad *SeedError
		if err != nil && (!errors.As(err, &bad) || bad.Problem == "" || bad.Line < 0) {
			t.Errorf("error %v", err)
		}
		seen := map[string]bool{}
		for _, c := range seed.Currencies {
			if seen[c.Code] || !codePattern.MatchString(c.Code) {
				t.Errorf("code %q", c.Code)
			}
			seen[c.Code] = true
		}
	})
}
