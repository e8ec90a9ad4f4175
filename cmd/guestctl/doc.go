// Command guestctl reads the files of virtual machines' disk images without
// mounting them, and without root, KVM or /dev/fuse.
//
// Each subcommand is one file here: it reads its options, calls one function of
// package daemon/files, and prints. A place is written IMAGE:/path (target.go).
// Options may stand anywhere (argv.go). With --json what is printed are the
// records of packages daemon/files and daemon/api, one JSON object a line.
//
// Exit status: 0 done, 1 something failed, 2 the command line is wrong; grep's
// is 0 found, 1 nothing found, 2 failed. A failure about one file does not keep
// the others from being done.
package main
