package doctor

import "github.com/safebox/safebox/worker/api"

// shortToken is a length below which a token may be guessed: 16 characters of hexadecimal digits are 64 bits.
const shortToken = 16

// Address judges where a replica is to answer HTTP.
func Address(addr, ingestToken string) Line {
	switch {
	case api.Loopback(addr):
		return Fine("address", addr+" is for this machine alone")
	case ingestToken == "":
		return Wrong("address", Failure, Config, addr+" is for other machines too, and there is no token: a worker refuses to listen there",
			"set SAFEBOX_INGEST_TOKEN, or listen on "+api.DefaultAddr)
	}
	return Fine("address", addr+" is for other machines too, with a token")
}

// Tokens judges the bearer tokens, and shows none.
func Tokens(ingest, admin string) Line {
	const do = "make each anew: openssl rand -hex 24"
	switch {
	case ingest == "" && admin == "":
		return Fine("tokens", "none is set: events are taken from this machine alone")
	case ingest == admin:
		return Wrong("tokens", Warning, Config, "SAFEBOX_INGEST_TOKEN and SAFEBOX_ADMIN_TOKEN are the same: every publisher is an operator", do)
	case ingest != "" && len(ingest) < shortToken, admin != "" && len(admin) < shortToken:
		return Wrong("tokens", Warning, Config, "a token is so short that it can be guessed", do)
	}
	return Fine("tokens", "long enough")
}
