// Package commands runs the real programs of cmd/ for tests: built once a test
// binary (with the race detector where the test has it), started as root or as
// an ordinary user, and with nothing left behind. A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(commands.Main(m)) }
package commands
