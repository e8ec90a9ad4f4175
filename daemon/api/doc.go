// Package api holds the records that cross the control socket and that --json
// prints: one shape, whoever asks. It imports nothing of the engine.
//
// A record keeps its shape: fields are added, never renamed, retyped or
// removed, without a new Schema. Sizes and offsets are bytes. A string that is
// bytes on disk and not UTF-8 has U+FFFD in the place of what is not.
package api
