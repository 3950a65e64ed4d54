// Package faultfs is a disk for tests: a file system in memory that knows what of
// it has reached the medium, can lose the rest as a power cut does, and fails when
// it is told to. Programs use it through FUSE, memory maps included, so that what
// is tested is the real program with its real files.
//
//	disk := faultfs.New(faultfs.Options{})
//	mount, err := faultfs.Attach(folder, disk)   // ErrUnavailable where there is no FUSE
//	disk.CutAfter(200)                           // power fails at the 201st change
//	<-disk.Off()                                 // ... and every call fails from there on
//	                                             // end the program, unmount
//	disk.PowerOn(seed)                           // what was not synced is there, or not
//
// The program under test runs in a process of its own: one that has files of the
// disk mapped into memory dies of SIGBUS when the disk fails, and one that serves
// the disk it uses can wait for itself.
//
// # What survives a power cut
//
// What fsync, fdatasync or msync was asked for and answered, always. Of the rest,
// by the seed:
//
//   - of each write all, nothing, or some of its sectors, of which some are torn:
//     the first bytes are new, the others old;
//   - of the sizes of a file those up to some moment; a file may be longer than what
//     was written to it, and has zeros there;
//   - of the names (creations, renames, removals) those up to some moment, in their
//     order, as a journal keeps them. A sync of a file or folder covers all that
//     happened up to its own last change of name. That is what ext4, XFS and btrfs
//     do. With Options.Strict names last only when their folder was synced, each by
//     itself, which is all that POSIX promises.
//
// A write whose sync failed is never on the medium, though reads return it: so does
// Linux behave, which drops what it could not write.
//
// The same calls in the same order with the same seed leave the same disk.
package faultfs
