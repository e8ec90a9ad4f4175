// Package daemon is the engine: it opens disk images, finds what is on them and
// puts together the tree that a mount shows and guestctl reads.
//
// # Terms
//
//   - A Spec says which images to open and which View to make of them.
//   - A Guest is the opened image set: its disks, their volumes, the filesystems
//     on the volumes and the Namespace that shows them.
//   - A disk is the flat device inside an image, named as libguestfs names it: sda.
//   - A volume is what may carry a filesystem: a partition, or a disk without a
//     table.
//
// # Opening
//
// Open locks and opens the images in the order given, scans their disks and
// asks every volume what it carries, all at the same time and with few reads.
// Only filesystems that are looked into stay open: those the view mounts, and
// while an operating system is looked for, all that could hold one.
//
// What is damaged or not read yet on one volume never hides another: it is an
// Err beside the volume, and a warning.
//
// # Writing
//
// Where Spec.Writable the images are open for writing, with the lock of a
// writer, and the view is made as for reading: nothing is written until it is
// known what is shown. Then each filesystem that is shown is opened again for
// writing, which recovers its journal, and the Namespace is made anew. All are
// written or Open fails and says which one is not, but for those that the user
// asked to be read-only. Close leaves them clean and makes all durable.
//
// # Files that an image names
//
// A guest can write into its own image, and so choose the name of a backing
// file, of a data file or of an extent. Such a file is opened only
//
//   - below the folder that the image was named in, or the folder where the
//     image really lies when that name is a symlink; of the folder / only the
//     files directly in it;
//   - below a folder in Spec.AllowBacking (--allow-backing DIR).
//
// Both are compared after symlinks are resolved, and the file is then opened
// beneath that folder without following any, so that nobody can put one there
// in between. Relative names start at the folder of the image that names
// them, as in QEMU. Names of network servers are refused by name. The refusal
// is a *RefusedError, which prints the option that allows it.
//
// The content of an image decides its format where nobody states one. A guest
// with a raw disk can write a qcow2 header there (CVE-2010-3851): such a header
// reaches no file beyond the folders above. A format stated by the user
// (ImageSpec.Format) or by the image that names the file is not doubted: raw
// means the bytes of the file, whatever they look like. Chains end after
// MaxChain files, and a file that is its own ancestor is an error.
//
// Files that an image names are opened read-only, and locked as readers.
//
// # Concurrency
//
// A Guest is safe for any number of goroutines once Open has returned. Guest.mu
// is a leaf. Close waits for all that the Guest started; nothing may use the
// Namespace any more.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package daemon
