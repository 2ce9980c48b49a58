package event

// TypeInfo describes a type of the catalogue to people and to generators of documentation.
type TypeInfo struct {
	Type    string `json:"type"`
	Effect  string `json:"effect"`  // what the ledger does with it
	Subject string `json:"subject"` // what the subject must be
	// Members are the members of data, in canonical order.
	Members []MemberInfo `json:"members"`
	// AtLeastOne says that data must not be empty although no member is required.
	AtLeastOne bool `json:"at_least_one,omitempty"`
	// Reasons are those for which the ledger may reject the event.
	Reasons []string `json:"reasons"`
}

// MemberInfo describes a member of an event's data.
type MemberInfo struct {
	Name     string `json:"name"`
	Kind     Kind   `json:"kind"`
	Required bool   `json:"required"`
	Nullable bool   `json:"nullable"` // null is taken
	Secret   bool   `json:"secret"`   // never logged or shown
	About    string `json:"about"`
	Expects  string `json:"expects"` // the values it takes, in words
	// MaxBytes bounds a string; 0 for other kinds.
	MaxBytes int `json:"max_bytes,omitempty"`
	// Least and Most bound a whole number; both are 0 for other kinds.
	Least int64 `json:"least,omitempty"`
	Most  int64 `json:"most,omitempty"`
}

// Catalogue returns the catalogue, one entry a type, in the order of the design. The caller owns what it gets.
func Catalogue() []TypeInfo {
	infos := make([]TypeInfo, len(specs))
	for i := range specs {
		infos[i] = specs[i].info()
	}
	return infos
}

func (s *spec) info() TypeInfo {
	info := TypeInfo{
		Type: s.name, Effect: s.about, Subject: s.expectsSubject(), AtLeastOne: s.some,
		Members: make([]MemberInfo, len(s.members)), Reasons: append([]string(nil), s.reasons...),
	}
	for i, m := range s.members {
		least, most, _ := m.kind.limits()
		info.Members[i] = MemberInfo{
			Name: m.name, Kind: m.kind, Required: m.required, Nullable: m.null != nullRefused, Secret: m.secret,
			About: m.about, Expects: m.expects(), MaxBytes: m.kind.maxBytes(), Least: least, Most: most,
		}
	}
	return info
}

func (s *spec) expectsSubject() string {
	switch s.subject {
	case subjectMember:
		return "the value of " + s.members[s.same].name
	case subjectCurrency:
		return KindCurrency.Expects()
	default:
		return KindNpub.Expects()
	}
}
