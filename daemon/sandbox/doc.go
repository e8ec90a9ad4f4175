// Package sandbox takes from a process what reading an image does not need, so
// that a mistake in a parser that a hostile image makes use of stays in it. It
// is entered once, by a worker, before the first byte of an image is read.
//
// What a worker needs is little: it reads and writes descriptors that others
// gave it, waits for them, and has memory and threads. So all else goes:
//
//   - Capabilities: all of them, on all threads, and no_new_privs, so that no
//     program brings them back.
//   - Landlock: no file can be opened, made, changed or removed by a path, no
//     TCP port reached, and no process outside signalled or reached through an
//     abstract unix socket, as far as the kernel's version of Landlock goes.
//     Descriptors that are open stay what they are.
//   - Seccomp: a list of system calls that are allowed; every other answers
//     EPERM. Not in it is whatever takes a path (open, stat, exec), makes a
//     socket, traces a process, makes memory executable, or a new process.
//   - Limits: memory (RLIMIT_DATA), no core dump.
//
// Mounts are therefore made, greeted and taken away by whoever starts the
// worker. Landlock and seccomp overlap on purpose: each alone keeps files away.
//
// Sources: landlock(7), seccomp(2), capabilities(7), setrlimit(2), and the
// system calls that the Go runtime makes.
//
// This package may change.
package sandbox
