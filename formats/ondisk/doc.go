// Package ondisk holds what every reader of on-disk bytes needs: the error that
// says which structure is damaged and where, bounded arithmetic on numbers that
// come from a disk, and the checksums the formats use.
//
// A number from a disk is hostile until it is compared: before it is shifted,
// multiplied, sliced with or allocated by. The functions here make the compare
// and the use one step.
//
// Damage, a bad checksum and a feature that is not supported are three errors
// that never look alike: they unwrap to EUCLEAN, EBADMSG and EOPNOTSUPP, as the
// Linux kernel's filesystems answer.
//
// This package imports the standard library only and may change.
package ondisk
