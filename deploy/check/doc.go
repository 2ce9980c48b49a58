// Package check holds the files of deploy/ to what they promise, with the parsers of those who will read them: BuildKit's for
// the Dockerfile, compose-go's for compose, kustomize's and Kubernetes' own types, decoded strictly, for the manifests, and
// systemd's grammar for the unit. What a file says about the program is asked of the program, built as the Dockerfile builds it:
// every command line is one that it knows, every variable one that it reads, every probed path one that it answers.
//
// It is a module of its own, so that these parsers stay out of the program's dependencies.
package check
