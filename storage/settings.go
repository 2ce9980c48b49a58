package storage

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// settings are the options of a PostgreSQL URL, by libpq's names, and what their values may be; nil: any text.
var settings = map[string][]string{
	"application_name":     nil, // read, and overruled: every connection is named safebox/<role>/<instance>
	"channel_binding":      {"disable", "prefer", "require"},
	"client_encoding":      {"utf8", "UTF8", "utf-8", "UTF-8"},
	"connect_timeout":      nil,
	"krbspn":               nil,
	"krbsrvname":           nil,
	"max_protocol_version": nil,
	"min_protocol_version": nil,
	"options":              nil,
	"passfile":             nil,
	"require_auth":         nil,
	"service":              nil,
	"servicefile":          nil,
	"sslcert":              nil,
	"sslcertmode":          {"disable", "allow", "require"},
	"sslkey":               nil,
	"sslmode":              {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"sslnegotiation":       {"postgres", "direct"},
	"sslrootcert":          nil,
	"sslsni":               {"0", "1"},
	"target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
	// How pgx sends statements, for a pooler that does not keep prepared ones.
	"default_query_exec_mode":    {"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"},
	"statement_cache_capacity":   nil,
	"description_cache_capacity": nil,
}

// numbers are the settings whose value is a whole number, 0 or more.
var numbers = map[string]bool{"connect_timeout": true, "statement_cache_capacity": true, "description_cache_capacity": true}

// apply puts the options of a URL where they belong. Of those that may also stand before the question mark, the option
// wins, as in libpq.
func (s *server) apply(values url.Values) error {
	hosts, ports := values["host"], values["port"]
	for name, all := range values {
		if name == "host" || name == "port" {
			continue
		}
		if len(all) > 1 {
			return fmt.Errorf("option %q is given %d times", name, len(all))
		}
		value := all[0]
		switch name {
		case "user":
			s.user = value
		case "password":
			s.password = &value
		case "sslpassword":
			s.sslPassword = &value
		case "dbname", "database":
			s.database = value
		case "ssl": // asyncpg's name for sslmode
			if value == "true" {
				value = "require"
			}
			if err := s.set("sslmode", value); err != nil {
				return err
			}
		default:
			if err := s.set(name, value); err != nil {
				return err
			}
		}
	}
	return s.applyHosts(hosts, ports)
}

func (s *server) set(name, value string) error {
	allowed, known := settings[name]
	if !known {
		return fmt.Errorf("option %q is not known; known are: %s", name, strings.Join(knownSettings(), ", "))
	}
	if numbers[name] {
		if _, err := strconv.ParseUint(value, 10, 31); err != nil {
			return fmt.Errorf("option %s must be a whole number, 0 or more", name)
		}
	}
	if len(allowed) > 0 && !slices.Contains(allowed, value) {
		return fmt.Errorf("option %s must be one of: %s", name, strings.Join(allowed, ", "))
	}
	if s.options == nil {
		s.options = map[string]string{}
	}
	s.options[name] = value
	return nil
}

// applyHosts takes hosts from the options: host=h1:1&host=h2:2, or host=h1,h2&port=1,2.
func (s *server) applyHosts(hosts, ports []string) error {
	if len(hosts) > 0 {
		var list []Host
		for _, one := range strings.Split(strings.Join(hosts, ","), ",") {
			if strings.HasPrefix(one, "/") {
				list = append(list, Host{Name: one})
				continue
			}
			h, err := parseHost(one)
			if err != nil {
				return err
			}
			list = append(list, h)
		}
		if len(s.hosts) == 1 && s.hosts[0].Port != 0 { // postgresql://user@:5433/db?host=/run/postgresql
			for i := range list {
				if list[i].Port == 0 {
					list[i].Port = s.hosts[0].Port
				}
			}
		}
		s.hosts = list
	}
	if len(ports) == 0 {
		return nil
	}
	all := strings.Split(strings.Join(ports, ","), ",")
	if len(s.hosts) == 0 {
		s.hosts = []Host{{}}
	}
	if len(all) != 1 && len(all) != len(s.hosts) {
		return fmt.Errorf("there are %d hosts and %d ports: give one port, or one for each host", len(s.hosts), len(all))
	}
	for i := range s.hosts {
		text := all[0]
		if len(all) > 1 {
			text = all[i]
		}
		if text == "" {
			continue
		}
		port, err := parsePort(text)
		if err != nil {
			return err
		}
		s.hosts[i].Port = port
	}
	return nil
}

func knownSettings() []string {
	names := []string{"host", "port", "user", "password", "dbname", "sslpassword"}
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
