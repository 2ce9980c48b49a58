package api

// Loopback tells whether an address, with or without a port, is one that only this machine can reach.
func Loopback(hostport string) bool { return loopback(hostport) }
