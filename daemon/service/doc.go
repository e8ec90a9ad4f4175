// Package service is guestctld: it holds many images and mounts, each behind a
// process of its own, and answers on the control socket. It stands beside
// package daemon, which opens one image set, so that guestctl, which reads
// images in its own process, links neither FUSE nor an HTTP server.
//
// # Terms
//
//   - An image is an attached image set (daemon.Spec), with an id that is the
//     same for the same request, here and later. Attaching it again adds a
//     reference to it. It is open (a worker has it), idle, or failed (its worker
//     ended); idle and failed ones are opened again at their next use.
//   - The Broker knows images, mounts and jobs, and parses no byte of an image.
//   - A worker is the broker's own program, started again (RunWorker). It holds
//     an Engine: guests opened once whoever uses them, their mounts, and the
//     operations on them.
//   - A use keeps an image open: an operation, a job, the making of a mount.
//   - An operation apart opens image sets itself (df, check, diff), in a worker
//     that is started for it and ends with it (apart.go): it may need two, or one
//     that is too damaged to be opened as it is attached.
//
// # Broker and worker
//
// A worker opens nothing of the host. It is born with two sockets (passing.go).
// Through one the broker sends it connections, on which it serves HTTP of its
// own: /open, /close, /mount, /wait, /stats and /op/NAME for the
// operations, whose replies the broker passes on as they come (forward.go).
// Through the other it asks the broker for descriptors (asking.go): an image of
// a set that the broker knows, a file that an image names, a mount's /dev/fuse.
// The broker opens them by the rules of package daemon and of whoever attached
// the image, so that a parser that a guest has taken over reaches nothing else
// through them. The locks of images are taken on the descriptors by the worker
// and end with it. Before it reads a byte it enters package sandbox, from where
// it reaches no path, socket or process: what it is not given it cannot have.
// At its start the broker has a probe do the same, whose report is in /v1/health;
// with sandbox "require" a daemon whose probe lacks anything does not start.
//
// A mount is made, greeted and taken away by the broker, and served by the worker. With isolation image
// each image set has a worker, with isolation shared all have one.
//
// When a worker ends without being told to, its images have failed, its mounts
// are dead and are taken out of the tree, events say so, and the next use
// starts another worker; after five failures in a minute it waits. When the
// broker is gone, killed perhaps, its sweeper unmounts (sweep.go), and each
// worker closes and ends when its mounts are gone. The mounts are written down
// beside the socket (SOCKET.mounts), but for those taken away in order: when the
// next broker starts, it takes away what is left of them, and makes them again,
// for their owners.
//
// # Access
//
// The socket has the mode 0660 and the group guestctl, or is in the user's own
// runtime folder; who cannot open it is a stranger. The kernel says who
// connects (SO_PEERCRED). Root and the user who runs the daemon may do all.
// Others may read: what is attached, whoever attached it, and images below the
// folders of Config.Images, which they may attach and detach; symlinks are
// resolved first. They may not mount, unmount, end what others do, nor read the
// results of others' jobs. Paths in a guest are resolved inside the guest.
//
// Keys of encrypted volumes come with the request to attach (keys.go). The broker
// keeps them in memory for as long as the image is attached, since a worker that
// is started again needs them, and overwrites them then, as far as Go lets it.
// They stand in no record, event, log, command line or environment. What they
// unlock is for those who attached the image with the same keys and for those
// who may write; its id depends on a secret of this daemon, so that it does not
// help to guess a passphrase. Keys of the configuration and of systemd's
// credentials open what root and the daemon's own user attach, and the group
// reads that as it reads everything attached.
//
// Mounting, unmounting and forced detaching go to the audit log, refused ones
// too: JSON lines, each with the hash of the one before (audit.go).
//
// # Limits
//
// Requests have a size and a time; a connection is closed when its client reads
// nothing for StallTimeout, and one user has so many at a time; an image has so
// many operations at a time, others wait; opening has a time, after which the
// worker is killed. Streams hold no more than their buffers, but for a sorted
// listing (vfs: one directory at a time). Names are JSON: of a host's path that
// is not UTF-8 nothing can be attached.
//
// # Traces
//
// With a Tracer each request but those that look at the daemon is a span, and in
// it the opening of an image and the job that it starts (package trace).
//
// # Locks
//
// image.turn, held while an image is opened or closed, then Broker.mu, then a
// leaf: job.mu, bus.mu, meter.mu, process.mu, process.dial, Audit.mu. No worker
// is asked while Broker.mu is held. Engine.mu and records.mu are leaves of a worker.
//
// This package may change; package client is the stable way to the socket.
package service
