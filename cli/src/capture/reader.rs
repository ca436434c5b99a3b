//! Reads classic pcap files, of both byte orders, with times in microseconds or nanoseconds.
//!
//! Packets are read raw: a file may say that a packet was longer than its snapshot length, as packets are that were cut when they were captured.

use std::borrow::Cow;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pcap_file::PcapError;
use pcap_file::pcap::{PcapHeader, PcapReader, RawPcapPacket};

use crate::failure::{Failure, Result};
use crate::files;

/// Bytes of the file's header.
const FILE_HEADER: u64 = 24;
/// Bytes of a packet's header.
const PACKET_HEADER: u64 = 16;
/// No capture holds longer packets, whatever its header says (libpcap: `MAXIMUM_SNAPLEN`).
const MAX_PACKET: u32 = 256 << 10;
/// First bytes of pcapng files.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A packet as captured.
pub struct Captured {
    /// From 1.
    pub number: u64,
    /// Time, in the file's units: seconds and their fraction.
    pub time: (u32, u32),
    /// Length on the wire, in bytes.
    pub wire_length: u32,
    /// What was captured.
    pub data: Vec<u8>,
}

/// A capture file that is being read.
pub struct Capture {
    path: PathBuf,
    reader: PcapReader<File>,
    /// Bytes of the file.
    pub length: u64,
    /// Where the next packet's header begins.
    pub offset: u64,
    /// Packets so far.
    pub packets: u64,
}

impl Capture {
    /// Opens a capture and reads its header.
    pub fn open(path: &Path) -> Result<Capture> {
        let file = files::open(path)?;
        let length = file.metadata().map_err(|e| Failure::read(path, &e))?.len();
        let reader = PcapReader::new(file).map_err(|error| header_error(path, &error))?;
        Ok(Capture { path: path.to_owned(), reader, length, offset: FILE_HEADER, packets: 0 })
    }

    /// The file's header.
    pub fn header(&self) -> PcapHeader {
        self.reader.header()
    }

    /// The next packet; none at the file's end. After an error there are no more.
    pub fn next(&mut self) -> Result<Option<Captured>> {
        let number = self.packets.saturating_add(1);
        let place = format!("{}: packet {number}, byte {:#x}", self.path.display(), self.offset);
        let Some(next) = self.reader.next_raw_packet() else { return Ok(None) };
        let raw = next.map_err(|error| packet_error(&place, &error))?;
        if raw.incl_len > MAX_PACKET {
            return Err(Failure::Input(format!(
                "{place}: its header says {} captured bytes, more than any capture has ({MAX_PACKET}); the file is damaged here",
                raw.incl_len
            )));
        }
        self.offset = self.offset.saturating_add(PACKET_HEADER).saturating_add(u64::from(raw.incl_len));
        self.packets = number;
        let RawPcapPacket { ts_sec, ts_frac, orig_len, data, .. } = raw;
        let data = match data {
            Cow::Borrowed(bytes) => bytes.to_vec(),
            Cow::Owned(bytes) => bytes,
        };
        Ok(Some(Captured { number, time: (ts_sec, ts_frac), wire_length: orig_len, data }))
    }
}

fn header_error(path: &Path, error: &PcapError) -> Failure {
    let why = match error {
        PcapError::IoError(e) if e.kind() != ErrorKind::UnexpectedEof => return Failure::read(path, e),
        PcapError::IoError(_) | PcapError::IncompleteBuffer => "it ends inside the pcap header of 24 bytes".to_owned(),
        _ if starts_as_pcapng(path) => "it is a pcapng file; convert it with `editcap -F pcap IN OUT`".to_owned(),
        _ => "it is no pcap file: its first four bytes are none of pcap's magic numbers".to_owned(),
    };
    Failure::Input(format!("{}: {why}", path.display()))
}

fn starts_as_pcapng(path: &Path) -> bool {
    let mut first = [0; 4];
    let read = files::open(path).is_ok_and(|mut f| std::io::Read::read_exact(&mut f, &mut first).is_ok());
    read && first == PCAPNG
}

fn packet_error(place: &str, error: &PcapError) -> Failure {
    match error {
        PcapError::IoError(e) if e.kind() != ErrorKind::UnexpectedEof => Failure::Input(format!("{place}: {e}")),
        PcapError::IoError(_) | PcapError::IncompleteBuffer => Failure::Input(format!(
            "{place}: the file ends inside this packet; it was cut, the packets before it are whole"
        )),
        other => Failure::Input(format!("{place}: {other}; the file is damaged here")),
    }
}
