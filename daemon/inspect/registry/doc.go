// Package registry shows the hives of a Windows guest as the one tree that
// Windows makes of them:
//
//	HKEY_LOCAL_MACHINE\NAME        system32\config\NAME: SOFTWARE, SYSTEM, SAM, SECURITY, COMPONENTS, DRIVERS
//	HKEY_LOCAL_MACHINE\BCD00000000 Boot\BCD, where it is on the same filesystem
//	HKEY_USERS\.DEFAULT            system32\config\DEFAULT
//	HKEY_USERS\SID                 NTUSER.DAT in the profile that SOFTWARE's ProfileList names for it
//	HKEY_USERS\SID_Classes         UsrClass.dat in the same
//	HKEY_CLASSES_ROOT              HKEY_LOCAL_MACHINE\SOFTWARE\Classes
//
// The short names HKLM, HKU and HKCR are the same. SYSTEM\CurrentControlSet,
// which is made when Windows starts, is the set that SYSTEM\Select names. In
// HKEY_USERS a user can be named by the folder of the profile as well. What exists
// only while Windows runs is refused by name: HKEY_CURRENT_USER,
// HKEY_CURRENT_CONFIG, HKEY_LOCAL_MACHINE\HARDWARE.
//
// Links between keys (REG_LINK) are shown, not followed. A profile on another
// filesystem than Windows itself is not found.
//
// Hives are opened when they are asked for, with their transaction logs (package
// hive). A Registry is for one goroutine, and as long as its context.
//
// This package may change.
package registry
