//! Writes packets that passed, with the times and in the form of the capture that they came from.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use pcap_file::PcapError;
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};

use super::reader::Captured;
use crate::failure::{Failure, Result};

/// A capture that is being written.
pub struct Passed {
    path: PathBuf,
    writer: PcapWriter<BufWriter<File>>,
    /// Packets so far.
    pub packets: u64,
}

impl Passed {
    /// Makes the file, with the header of the capture that packets come from.
    pub fn create(path: &Path, header: PcapHeader) -> Result<Passed> {
        let fail = |source| Failure::Write { path: path.to_owned(), source };
        let file = File::create(path).map_err(fail)?;
        let writer = PcapWriter::with_header(BufWriter::new(file), header).map_err(|e| fail(system(e)))?;
        Ok(Passed { path: path.to_owned(), writer, packets: 0 })
    }

    /// Writes a packet with the content that it has after the run.
    pub fn write(&mut self, captured: &Captured, data: &[u8]) -> Result<()> {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let before = u32::try_from(captured.data.len()).unwrap_or(u32::MAX);
        let (ts_sec, ts_frac) = captured.time;
        let raw = RawPcapPacket {
            ts_sec,
            ts_frac,
            incl_len: length,
            // Bytes that were not captured are still missing, as many as before.
            orig_len: captured.wire_length.saturating_sub(before).saturating_add(length),
            data: Cow::Borrowed(data),
        };
        let written = self.writer.write_raw_packet(&raw);
        written.map_err(|e| Failure::Write { path: self.path.clone(), source: system(e) })?;
        self.packets = self.packets.saturating_add(1);
        Ok(())
    }

    /// Brings everything to the file.
    pub fn finish(self) -> Result<u64> {
        let Passed { path, writer, packets } = self;
        writer.into_writer().flush().map_err(|source| Failure::Write { path, source })?;
        Ok(packets)
    }
}

fn system(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(e) => e,
        other => io::Error::other(other),
    }
}
