// Package raid reads arrays of devices: stripes, mirrors and parity, whole or
// with members missing. It knows no metadata: Linux's MD, LVM and Windows's
// LDM describe their arrays to it.
//
// # Terms
//
//   - A member is a device of the array, nil where it is missing.
//   - A chunk is the longest stretch of an array on one member.
//   - A stripe of a parity array is one chunk of each member at one offset.
//   - P is the XOR of a stripe's data; Q is its Reed-Solomon syndrome over
//     GF(2^8) with the polynomial 0x11D and the generator 2 (H. P. Anvin, The
//     mathematics of RAID-6).
//   - A layout says which member of a stripe has P, Q and each data chunk. The
//     numbers are those of Linux's md (drivers/md/raid5.h).
//
// # Reading
//
// What is read comes from the member that has it. Where that member is missing
// or answers an error, it comes from another copy, or is computed from the rest
// of the stripe; the first error is answered where that is impossible. Parity
// is not checked while all members are there, as in the kernel. Large reads of
// a stripe go to its members one after another: they end in the host's cache.
//
// Locate answers what the member with the bytes answers, and Opaque where they
// are computed.
//
// This package may change.
package raid
