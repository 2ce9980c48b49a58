package event_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/event"
)

func TestAPrivateKeyIsRefusedWithItsOwnReasonAndNeverShown(t *testing.T) {
	const reason = "a private key does not belong in a log"
	key := quote(examplePrivate)
	credited := func(member, value string) string {
		return structured(event.TypeFundsCredited, `{"amount":5,`+quote(member)+`:`+value+`}`)
	}
	attribute := func(name, value string) string {
		return structured(event.TypeFundsCredited, `{"amount":5}`, name, value)
	}
	for _, tc := range []struct{ name, input, field string }{
		{"as a member of the data", credited("nsec", key), "data.nsec"},
		{"as a member in another case", credited("NSec", key), "data.NSec"},
		{"as a member with an escaped name", strings.Replace(credited("nsec", key), `"nsec"`, `"ns\u0065c"`, 1), "data.nsec"},
		{"as a member that is null", credited("nsec", "null"), "data.nsec"},
		{"inside a member", credited("memo", `{"keys":[1,{"nsec":`+key+`}]}`), "data.memo.keys.nsec"},
		{"in the data of an unknown type", structured("unknown", `{"nsec":`+key+`}`), "data.nsec"},
		{"as an attribute", attribute("nsec", key), "nsec"},
		{"inside an attribute", attribute("subject", `{"nsec":`+key+`}`), "subject.nsec"},
		{"as a memo", credited("memo", key), "data.memo"},
		{"in a memo, in upper case", credited("memo", quote("mine: "+strings.ToUpper(examplePrivate)+"!")), "data.memo"},
		{"as the subject", attribute("subject", key), "subject"},
		{"as the id", attribute("id", key), "id"},
		{"as the source", attribute("source", key), "source"},
		{"as an extension", attribute("trace", key), "trace"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := refusalOf(t, tc.input)
			if r.Field != tc.field || !strings.Contains(r.Reason, reason) {
				t.Errorf("refused %q: %s\nwant    %q: %s", r.Field, r.Reason, tc.field, reason)
			}
			assertHides(t, r, examplePrivate[5:])
		})
	}
}

func TestARefusalHidesWhatOnlyLooksLikeAPrivateKey(t *testing.T) {
	mistyped := examplePrivate[:40] + "7" + examplePrivate[41:]
	for name, input := range map[string]string{
		"as the subject":          structured(event.TypeFundsCredited, `{"amount":5}`, "subject", quote(mistyped)),
		"as an unknown type":      structured(strings.ToUpper(mistyped), `{"amount":5}`),
		"as the name of a member": structured(event.TypeFundsCredited, `{"amount":5,`+quote(mistyped)+`:1}`),
		"as a payee":              structured(event.TypeFundsTransferred, `{"amount":5,"to":`+quote("X"+mistyped)+`}`),
		"as an attribute's name":  structured(event.TypeFundsCredited, `{"amount":5}`, "x-"+mistyped, "1"),
	} {
		t.Run(name, func(t *testing.T) { assertHides(t, refusalOf(t, input), mistyped[5:30]) })
	}
}

// assertHides makes sure that nothing of a refusal repeats a text, in whatever case.
func assertHides(t *testing.T, r *event.Refusal, secret string) {
	t.Helper()
	asJSON, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{r.Error(), fmt.Sprintf("%+v", *r), string(asJSON)} {
		if strings.Contains(strings.ToLower(shown), strings.ToLower(secret)) {
			t.Errorf("the refusal shows the secret: %s", shown)
		}
	}
}

func TestNoRefusalShowsASecretMember(t *testing.T) {
	const secret = "hush-4711"
	secrets := 0
	for _, info := range event.Catalogue() {
		for _, member := range info.Members {
			if !member.Secret {
				continue
			}
			secrets++
			for name, value := range map[string]string{
				"a string with a control character": quote("\a" + secret),
				"a string that is too long":         quote(strings.Repeat(secret, 100)),
				"a number":                          "4711",
				"a list":                            `["` + secret + `"]`,
				"an object":                         `{"` + secret + `":"` + secret + `"}`,
				"a boolean":                         "true",
			} {
				t.Run(info.Type+"."+member.Name+" as "+name, func(t *testing.T) {
					r := refusalOf(t, structured(info.Type, "{"+quote(member.Name)+":"+value+"}"))
					if r.Field != "data."+member.Name {
						t.Errorf("refused %q, want the member", r.Field)
					}
					assertHides(t, r, "hush")
					assertHides(t, r, "4711")
				})
			}
		}
	}
	if secrets != 4 {
		t.Errorf("the catalogue has %d secret members, want 4", secrets)
	}
}

func TestARefusalShortensWhatItFound(t *testing.T) {
	long := strings.Repeat("é", 2000)
	r := refusalOf(t, structured(event.TypeFundsTransferred, `{"amount":5,"to":`+quote(long)+`}`))
	if len(r.Error()) > 400 || !strings.Contains(r.Reason, "éé…") {
		t.Errorf("refusal of %d bytes: %s", len(r.Error()), r)
	}
	r = refusalOf(t, structured(event.TypeFundsCredited, `{"amount":`+strings.Repeat("9", 5000)+`}`))
	if len(r.Error()) > 400 {
		t.Errorf("refusal of %d bytes: %s", len(r.Error()), r)
	}
}
