// Package bitlocker reads volumes that Windows encrypted with BitLocker, 7 and
// newer, BitLocker To Go included.
//
// # Terms
//
//   - The full volume encryption key (FVEK) encrypts the sectors.
//   - The volume master key (VMK) encrypts the FVEK, and is itself there once
//     for each protector: a password, a recovery password of 48 digits, a
//     startup key in a .BEK file, a clear key (a suspended protection).
//   - The metadata is there three times. The start of the volume that the file
//     system needs is kept elsewhere, since BitLocker's own header stands there.
//
// # Reading
//
// The first of the three copies of the metadata that is whole counts. Sectors
// of metadata, and the place where the start of the volume is kept, read as
// zeros, as in Windows. Keys are those of --key: a secret of the form of a
// recovery password is tried as one, a .BEK file (NAME:file:FILE.BEK) as a
// startup key, anything else as a password. A volume with a clear key opens
// without any.
//
// Refused by name: Vista's version 1, an encryption or decryption that has not
// ended, encrypt-on-write (used space only while it goes on), protectors with a
// TPM or smart card alone (as locked).
//
// # Proof
//
// The images of cryptsetup's own test suite, which Windows wrote, are compared
// by the SHA-256 that comes with them: AES-CBC with and without diffuser and
// AES-XTS of 128 and 256 bits, sectors of 512 and 4,096 bytes, To Go, password,
// recovery password and startup key. By construction only: a clear key, since
// the one image with it is encrypt-on-write.
//
// # Sources
//
// J. Metz, BitLocker Drive Encryption (BDE) format; N. Ferguson's paper on the
// diffuser; the names of cryptsetup's bitlkDump.
//
// This package may change.
package bitlocker
