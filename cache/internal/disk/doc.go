// Package disk keeps stored responses on disk: bodies in append-only segment files, what is where in an index beside them,
// and a map in memory that look-ups use. It knows bytes and names, no HTTP.
//
// The nouns:
//
//   - Tier: a directory, held by one process. Its limit counts everything in it.
//   - Record: what there is to know of one stored response. Its Head is the caller's affair.
//   - Name: what a record is found by. The newest record of a name is the one that counts.
//   - Fill: the number of a body. A record freshened by a 304 is a new head for the same fill.
//   - Location: where a record is; it rises with time.
//   - Entry: a record being read.
//
// One goroutine, Run, writes; it owns the segments' ends, the index and all accounts. Look-ups touch the map only, and
// whoever reads a record preads it in its own goroutine. No byte of a body is handed out before the checksum of its block
// was found right.
//
// # Files
//
//	lock           held with flock(2) by the process that uses the directory
//	identity       whose cache it is, and the seed of the names' hashes: see identity
//	00000001.seg   segments, numbered in the order in which they were begun, in hexadecimal
//	index          a bbolt file: see index
//	*.new          a file that is to take the place of another; removed at start
//
// Every file has a version, which is 1. A file of another version is as good as none: without identity the directory is
// empty, without a segment its records are, without an index all segments are read.
//
// # Segments
//
// A segment is a header and blocks: see segmentHeader and blockHeader. The content of a body is cut into blocks of 64 KiB, the
// last one shorter; each says which block of which fill it is, and has a CRC-32C. Blocks of several fills may alternate, and a
// body may go on in the next segment. A run of blocks of one fill is an extent. When the last block of a body is written, a
// commit block follows, which carries the record whole and its extents: see commit. It makes the record exist.
//
// A small body stands right before its commit block, and both are read with one pread. A freshened record is a commit block
// that points to the extents of the fill. A commit block may also say that a name is forgotten. Of several commit blocks of
// one name the one at the highest location counts.
//
// # Order of writing
//
// Happy path of a record: pwrite (segment), and it can be found. Every two seconds: fdatasync (segments written to), fsync
// (directory, if segments have come or gone), then one bbolt transaction with everything that these segments now hold: pwrite
// (pages), fdatasync, pwrite (root), fdatasync. For every segment the index also says up to which offset it knows it; this
// mark moves on in all segments that were written to, in the older ones first.
//
// A segment is dropped by removing its records from the map, unlink, and with the next transaction from the index. One that is
// dropped before its turn, because little of it is live, has what it says of forgotten names repeated first: older segments may
// hold records of them, and without an index nothing else would keep them forgotten. A name that has a record again is left
// out, since what is repeated comes behind that record. What cannot be written when it has to be said, because the disk takes
// nothing, is owed, and written with the first sync after.
//
// Before a name in the directory is made or removed, the lock is looked at: a directory that was moved away, or that another
// was mounted over, is left alone until it is back.
//
// The index is synced by bbolt itself: there is one transaction every two seconds, and with NoSync a power cut would leave a
// file that has to be thrown away, and hundreds of gigabytes to be read in its place.
//
// # What a crash leaves
//
//   - Within a pwrite: a block that fails its checksum at the end of a segment. Nothing is ever appended to a segment of an
//     earlier process, so nothing comes behind it.
//   - After blocks, before the commit block: bytes of no record. They leave with their segment.
//   - After the commit block, before the sync: a killed process loses nothing, since at start every segment is read from the
//     offset up to which the index knows it. After a power cut, blocks may be missing: there a record exists only if every
//     block of it that the index does not vouch for is read and found good.
//   - After the sync of segments, before that of the index: the same.
//   - Within the transaction: bbolt's older root, and the case before.
//   - After unlink, before the transaction: the index tells of a segment that is not there; it is not asked for it.
//   - While a new index is written: index.new, which is removed; the old index is still right about what it knows.
//   - Within Reset: the old identity and all its records, or the new one and none, since each segment bears the identity
//     that it was written under.
//
// # Damage
//
// A block whose checksum is wrong costs its record: it is forgotten, counted and logged. So does a commit block. A segment cut
// short loses the records beyond the cut; one that is no file, or has another header, is removed. An index that is damaged,
// foreign or missing is written anew, from what the segments say. After a sync that failed, the segment and all its records
// are dropped. A disk that is full costs the oldest segment; one that fails otherwise is left alone for five seconds, while
// what is there is still read. A segment that was dropped and cannot be removed is cut, and its name removed later. A file that
// cannot be opened at start, as when there are no descriptors left, is tried for a minute before it is given up; nothing found at
// start is shown until then. A panic of the writer, which would be a mistake of ours, puts the tier off until the next start.
//
// # What may come back
//
// When a newer record of a name is lost by damage or a power cut, an older one may be found again. It is what the origin
// sent, with its own times and epoch, so purges and freshness judge it rightly. So it is with a record that was removed while the
// disk took nothing, if the process is killed before the disk does and the index is lost as well.
package disk
