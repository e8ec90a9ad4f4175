// Package sbom writes the packages of a guest as a software bill of materials:
// CycloneDX 1.5 as JSON (cyclonedx.org/docs/1.5/json) or SPDX 2.3 as JSON
// (spdx.github.io/spdx-spec/v2.3).
//
// Packages are named by package URLs (github.com/package-url/purl-spec), so that
// scanners find them: the namespace of an operating system's package is its ID of
// os-release, and the qualifier distro adds its version.
//
// The documents of two runs are the same but for the time, and where the caller
// gives none there is none: serial numbers come from the packages.
//
// This package may change.
package sbom
