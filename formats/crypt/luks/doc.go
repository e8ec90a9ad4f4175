// Package luks reads LUKS1 and LUKS2 headers and unlocks what they protect. The
// volume scheme of that name and qcow2's encryption use it.
//
// # Terms
//
//   - A volume key encrypts the data; nobody knows it.
//   - A key slot has the volume key, split over some 250 KiB and encrypted with
//     a key that is derived from a passphrase or key file.
//   - A digest tells whether a volume key is the right one.
//   - A segment is the part of the device that is encrypted.
//
// # What is read
//
// LUKS2 has two copies of its header; the valid one with the higher sequence
// number counts, and one that is damaged is a warning. The cipher is AES, in the
// modes xts-plain64, xts-plain, cbc-essiv, cbc-plain64 and cbc-plain; keys are
// derived with PBKDF2, argon2i or argon2id.
//
// Refused by name: other ciphers, authenticated encryption (dm-integrity), OPAL,
// more than one segment, a reencryption that has not ended, requirements of
// LUKS2 that are not known, detached headers.
//
// # Bounds
//
// A header can ask for any amount of work. Nothing is derived unless a key is
// given; Argon2 is bounded by package crypt, and PBKDF2 ends with the context.
//
// # Sources
//
// LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification
// 1.1.4. The test images are cryptsetup's.
//
// This package may change.
package luks
