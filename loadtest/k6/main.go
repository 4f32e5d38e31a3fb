// Command k6 is the load generator of `make k6`, built from its published Go module at the version
// that go.mod names, so that a machine with nothing but Go runs the very same k6.
package main

import "go.k6.io/k6/v2/cmd"

func main() {
	cmd.Execute()
}
