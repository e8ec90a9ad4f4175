// Package accounts lists the users and groups of a guest.
//
// Of Unix these are the files passwd(5), shadow(5) or the BSDs' master.passwd(5),
// and group(5); what NIS, LDAP or the like would add is not in a guest's files.
// OSTree keeps a second passwd and group in /usr/lib. The last login is that of
// lastlog(5), as Linux writes it on 64-bit machines.
//
// Of Windows these are the accounts in the hive SAM, with the profiles in
// SOFTWARE's ProfileList, which has the users of domains too. The layout of SAM is
// not documented by Microsoft; the fields that are read here are those that
// "Security Accounts Manager" of winreg-kb.readthedocs.io and the samparse plugin of
// RegRipper agree on. The tests' hives are made from the same descriptions.
//
// # Secrets
//
// What is read of a password is whether there is one. No hash leaves this package.
//
// # Hostile guests
//
// A file has at most maxFile bytes, a list at most maxUsers entries, a user at
// most maxKeys keys; what is left out is a warning.
//
// This package may change.
package accounts
