// Package crypt decrypts disks: ciphers by sector, key derivation, and the keys
// that a person gives for encrypted volumes. Formats (LUKS inside qcow2) and
// volume schemes (LUKS, BitLocker) share it.
//
// # Terms
//
//   - A Cipher decrypts whole sectors in place, each with the number that its
//     initialisation vector comes from.
//   - A Device is a block.Device that decrypts what another one holds, large
//     reads on several cores. It is Opaque everywhere.
//   - Keys are passphrases and key files with the selectors that say for which
//     volume each is meant.
//
// # Secrets
//
// Keys print as their selectors only, whatever they are printed with. Wipe
// overwrites the secrets; derived keys are wiped when the cipher is made from
// them. What the ciphers of the standard library expand from a key stays in
// memory for as long as the Device, since there is no way to wipe it; and a
// string on a command line stays where the system keeps command lines.
//
// # Sources
//
// LUKS1 On-Disk Format Specification 1.2.3, LUKS2 On-Disk Format Specification
// 1.1.4, IEEE 1619 (XTS), dm-crypt's documentation for the names of modes and
// initialisation vectors, RFC 8018 (PBKDF2), RFC 9106 (Argon2).
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package crypt
