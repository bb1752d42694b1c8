//! A file that only a recovery key opens: pieces of data, sealed one after the other so that none can be changed, moved, left out
//! or cut off.
//!
//! `durward backup 1\n ‖ salt 32`, then for each piece `length 4 ‖ sealed`. The key of a file is HMAC-SHA-256 of its salt under the
//! recovery key; the nonce counts pieces and says which is the last one (STREAM; Hoang, Reyhanitabar, Rogaway, Vizár 2015).
//! Inside, `n name-length name` begins an entry and `d bytes` continues it.

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"durward backup 1\n";
const PIECE: usize = 64 * 1024;
const TAG: usize = 16;
/// What a recovery key begins with.
const PREFIX: &str = "dwk_";

/// What opens backups. It is shown once.
pub struct RecoveryKey(Zeroizing<[u8; 32]>);

impl RecoveryKey {
    pub(crate) fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// From its text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim().strip_prefix(PREFIX)?, key.as_mut_slice()).ok()?;
        Some(Self(key))
    }

    /// Its text, to be shown once.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", hex::encode(self.0.as_slice())))
    }

    fn of_file(&self, salt: &[u8]) -> io::Result<LessSafeKey> {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()), salt);
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| damaged("no key"))?;
        Ok(LessSafeKey::new(key))
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Counts pieces.
struct Count(u64);

impl Count {
    fn next(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(self.0.to_be_bytes()).for_each(|(to, from)| *to = from);
        if let Some(last) = nonce.last_mut() {
            *last = u8::from(is_last);
        }
        self.0 += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Writes a sealed file.
pub struct Sealer<W: Write> {
    out: W,
    key: LessSafeKey,
    count: Count,
    piece: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W, recovery: &RecoveryKey) -> io::Result<Self> {
        let mut salt = [0; 32];
        rand::fill(&mut salt).map_err(|_| io::Error::other("the system gives no randomness"))?;
        out.write_all(MAGIC)?;
        out.write_all(&salt)?;
        Ok(Self { out, key: recovery.of_file(&salt)?, count: Count(0), piece: Zeroizing::new(Vec::new()) })
    }

    /// Begins an entry; what is written from here on is its content.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn entry(&mut self, name: &str) -> io::Result<()> {
        self.frame(b'n', name.as_bytes())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| damaged("an entry is too long"))?;
        self.piece.push(kind);
        self.piece.extend_from_slice(&length.to_be_bytes());
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE { self.seal(false) } else { Ok(()) }
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let mut piece = std::mem::replace(&mut self.piece, Zeroizing::new(Vec::new()));
        let nonce = self.count.next(is_last);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), piece.as_mut_slice());
        let tag = tag.map_err(|_| damaged("it cannot be sealed"))?;
        let length = u32::try_from(piece.len() + TAG).map_err(|_| damaged("a piece is too long"))?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&piece)?;
        self.out.write_all(tag.as_ref())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (now, _) = bytes.split_at(bytes.len().min(PIECE));
        self.frame(b'd', now)?;
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a sealed file, to its end or not at all: what is told to `entry` and `data` counts when this has returned well.
///
/// # Errors
/// It cannot be read, was changed or is not whole, or the key is another.
pub fn unseal<R: Read>(
    mut file: R,
    recovery: &RecoveryKey,
    mut entry: impl FnMut(&str) -> io::Result<()>,
    mut data: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut head = [0; MAGIC.len() + 32];
    file.read_exact(&mut head).map_err(|_| damaged("it is no backup of durward's"))?;
    let (magic, salt) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(damaged("it is no backup of durward's, or one of a newer version"));
    }
    let key = recovery.of_file(salt)?;
    let mut count = Count(0);
    let mut next = piece(&mut file)?.ok_or_else(|| damaged("it is cut off"))?;
    loop {
        let behind = piece(&mut file)?;
        let nonce = count.next(behind.is_none());
        let clear = key.open_in_place(nonce, Aad::empty(), next.as_mut_slice()).map_err(|_| {
            damaged("it does not open: the recovery key is another one, or the file was changed or cut off")
        })?;
        let mut rest: &[u8] = clear;
        while let Some((kind, after)) = rest.split_first() {
            let (length, after) =
                after.split_first_chunk::<4>().ok_or_else(|| damaged("an entry is not whole"))?;
            let length =
                usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged("an entry is too long"))?;
            let (bytes, after) =
                after.split_at_checked(length).ok_or_else(|| damaged("an entry is not whole"))?;
            match kind {
                b'n' => entry(std::str::from_utf8(bytes).map_err(|_| damaged("a name is no text"))?)?,
                b'd' => data(bytes)?,
                _ => return Err(damaged("an entry of a newer version")),
            }
            rest = after;
        }
        match behind {
            Some(piece) => next = piece,
            None => return Ok(()),
        }
    }
}

/// The next piece, still sealed; `None` at the end.
fn piece(file: &mut impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut length = [0; 4];
    let mut had = 0;
    while let Some(rest) = length.get_mut(had..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 if had == 0 => return Ok(None),
            0 => return Err(damaged("it is cut off")),
            count => had += count,
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| damaged("a piece is too long"))?;
    if !(TAG..=2 * PIECE + 1024).contains(&length) {
        return Err(damaged("a piece has an impossible length"));
    }
    let mut sealed = Zeroizing::new(vec![0; length]);
    file.read_exact(&mut sealed).map_err(|_| damaged("it is cut off"))?;
    Ok(Some(sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RecoveryKey {
        RecoveryKey::new(Zeroizing::new([byte; 32]))
    }

    fn sealed(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), &key(7)).expect("begun");
        for (name, content) in entries {
            sealer.entry(name).expect("an entry");
            sealer.write_all(content).expect("written");
        }
        sealer.finish().expect("finished")
    }

    fn opened(file: &[u8], with: &RecoveryKey) -> io::Result<Vec<(String, Vec<u8>)>> {
        let entries = std::cell::RefCell::new(Vec::<(String, Vec<u8>)>::new());
        unseal(
            file,
            with,
            |name| {
                entries.borrow_mut().push((name.to_owned(), Vec::new()));
                Ok(())
            },
            |bytes| {
                entries.borrow_mut().last_mut().expect("an entry").1.extend_from_slice(bytes);
                Ok(())
            },
        )?;
        Ok(entries.into_inner())
    }

    #[test]
    fn what_was_sealed_comes_back_whole_and_nothing_of_it_is_clear() {
        let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
        let entries: [(&str, &[u8]); 4] =
            [("a", b"one"), ("empty", b""), ("long", &long), ("b", b"correct horse")];
        let file = sealed(&entries);
        let back = opened(&file, &key(7)).expect("opened");
        assert_eq!(back, entries.map(|(name, content)| (name.to_owned(), content.to_vec())));
        assert!(!file.windows(13).any(|w| w == b"correct horse"));
        assert!(opened(&sealed(&[]), &key(7)).expect("opened").is_empty());
    }

    #[test]
    fn what_was_changed_moved_or_cut_off_does_not_open() {
        let long = vec![5; 200_000];
        let file = sealed(&[("a", b"one"), ("long", &long)]);
        assert!(opened(&file, &key(8)).is_err(), "another key");
        for at in [0, 20, 60, 200, file.len() / 2, file.len() - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(opened(&changed, &key(7)).is_err(), "byte {at}");
            assert!(opened(&file[..at], &key(7)).is_err(), "cut at {at}");
        }
        // A whole last piece left out, two pieces in the other order.
        let mut pieces = Vec::new();
        let mut rest = &file[MAGIC.len() + 32..];
        while !rest.is_empty() {
            let length = 4 + usize::try_from(u32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
            pieces.push(&rest[..length]);
            rest = &rest[length..];
        }
        assert!(pieces.len() > 3);
        let head = &file[..MAGIC.len() + 32];
        let without_last = [head, &pieces[..pieces.len() - 1].concat()].concat();
        pieces.swap(0, 1);
        let swapped = [head, &pieces.concat()].concat();
        for broken in [without_last, swapped, [&file[..], b"more"].concat()] {
            assert!(opened(&broken, &key(7)).is_err());
        }
    }

    #[test]
    fn a_recovery_key_is_a_text_and_back() {
        let text = key(9).reveal();
        assert!(text.starts_with("dwk_"));
        assert_eq!(RecoveryKey::parse(&format!(" {}\n", text.as_str())).expect("a key").0, key(9).0);
        for wrong in ["", "dwk_", "dwk_00", "dwt_00", &text[..20]] {
            assert!(RecoveryKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
