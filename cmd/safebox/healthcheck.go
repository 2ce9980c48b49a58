package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/worker/api"
)

// healthTimeout bounds a look at a replica's health; its own checks take at most 2 s.
const healthTimeout = 5 * time.Second

func (a *app) healthcheckCommand() *cobra.Command {
	var live bool
	c := &cobra.Command{
		Use: "healthcheck", Short: "Ask the replica of this machine or container whether it is ready",
		Long: "healthcheck is for what has no other program to ask with: a container made from scratch. It asks the replica that\n" +
			"SAFEBOX_HTTP_ADDR names, and exits 0 when that is ready. No database is opened and nothing is printed when all is well.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			if live {
				path = "/livez"
			}
			return askHealth(cmd.Context(), a.conf.HTTPAddr, path)
		},
	}
	c.Flags().BoolVar(&live, "live", false, "ask only whether the process is alive, whatever the database does")
	return c
}

// askHealth is nil when the replica at addr answers 200.
func askHealth(ctx context.Context, addr, path string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	url := "http://" + reachable(addr) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// Not through a proxy: the replica is here.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return &failure{Code: exitUnreachable, Err: fmt.Errorf("no replica answers: %w", err), Todo: "start one, or name its address with SAFEBOX_HTTP_ADDR"}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	return &failure{Code: exitAgain, Err: fmt.Errorf("%s answers %s; what does not hold: %s", url, resp.Status, unwell(body))}
}

// unwell names the checks that fail; an answer of another form is shown as it is.
func unwell(body []byte) string {
	var answer struct{ Checks []api.Check }
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Checks) == 0 {
		return strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	var failing []string
	for _, c := range answer.Checks {
		if !c.OK {
			failing = append(failing, c.Name+" ("+c.Detail+")")
		}
	}
	return strings.Join(failing, ", ")
}

// reachable is where a replica that listens on addr answers on its own machine: an address that means all of them, such as
// 0.0.0.0, is none to connect to everywhere.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && ip.Is4() && ip.IsUnspecified():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
