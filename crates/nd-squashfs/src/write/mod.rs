//! Writing an image: contents as they come, tables at the end, the superblock last.

mod data;
mod error;
mod inodes;
mod metadata;
mod options;
mod pipeline;
mod tables;
mod tree;

use std::io::{BufWriter, Seek, SeekFrom, Write};

use nd_rootfs::{Contents, Index, Kind};

use self::{
    data::{Data, Packing},
    inodes::Inodes,
    pipeline::Pipeline,
    tables::write_list,
    tree::Tree,
};
pub use self::{
    error::WriteError,
    options::{Progress, WriteOptions, Written},
};
use crate::{
    UNREAD,
    compression::Packer,
    format::{METADATA_RAW, NO_TABLE, PADDING, SUPERBLOCK, Superblock, flags},
};

/// Writes the tree `index` with the bytes that `contents` hands over as a squashfs image to `out`,
/// from its current position on, and leaves the position at the end of the image.
///
/// Contents are visited once, in their storage order, equal ones stored once. The superblock is
/// written last: what a killed process leaves behind is no image. `out` needs no buffer of its own.
pub fn write(
    index: &Index,
    contents: &mut dyn Contents,
    out: &mut (impl Write + Seek),
    options: &WriteOptions<'_>,
) -> Result<Written, WriteError> {
    options.check()?;
    for entry in index {
        if let Kind::File { content, size, .. } = entry.kind
            && content == UNREAD
            && size > 0
        {
            return Err(WriteError::Unread(entry.path.clone()));
        }
    }
    let out = &mut BufWriter::with_capacity(BUFFER, out);
    let start = out.stream_position().map_err(WriteError::Output)?;
    let mut head = vec![0; SUPERBLOCK];
    let compressor = options.compression.options();
    head.extend((compressor.len() as u16 | METADATA_RAW).to_le_bytes());
    head.extend(compressor);
    out.write_all(&head).map_err(WriteError::Output)?;

    let (data, mut position) = write_data(index, contents, out, head.len() as u64, options)?;
    let mut packer = Packer::new(options.compression).map_err(WriteError::Compress)?;
    let superblock = write_tables(index, &data, out, &mut position, &mut packer, options)?;
    let end = position.next_multiple_of(PADDING);
    let padding = vec![0; (end - position) as usize];
    let finish = |out: &mut dyn WriteSeek| {
        out.write_all(&padding)?;
        out.flush()?;
        out.seek(SeekFrom::Start(start))?;
        out.write_all(&superblock.0.encode())?;
        out.seek(SeekFrom::Start(start + end))?;
        out.flush()
    };
    finish(out).map_err(WriteError::Output)?;
    Ok(Written {
        bytes: end,
        inodes: superblock.0.inodes,
        contents: data.len() as u64,
        content_bytes: data.bytes,
        notes: superblock.1,
    })
}

/// What is gathered before it is written.
const BUFFER: usize = 1 << 20;

/// Both traits in one, for a closure.
trait WriteSeek: Write + Seek {}
impl<T: Write + Seek> WriteSeek for T {}

fn write_data(
    index: &Index,
    contents: &mut dyn Contents,
    out: &mut impl Write,
    position: u64,
    options: &WriteOptions<'_>,
) -> Result<(Data, u64), WriteError> {
    let (data, wanted) = Data::plan(index);
    let (data, position) = std::thread::scope(|scope| {
        let pipeline = Pipeline::start(
            scope,
            out,
            position,
            options.compression,
            options.block_size,
            options.threads(),
        )?;
        let mut packing = Packing::new(data, pipeline, options);
        if let Err(error) = contents.visit(&wanted, &mut packing) {
            return Err(packing.failure().unwrap_or(error.into()));
        }
        packing.finish()
    })?;
    data.check(index)?;
    Ok((data, position))
}

fn write_tables(
    index: &Index,
    data: &Data,
    out: &mut impl Write,
    position: &mut u64,
    packer: &mut Packer,
    options: &WriteOptions<'_>,
) -> Result<(Superblock, Vec<String>), WriteError> {
    options.cancel.check()?;
    let tree = Tree::new(index);
    let mut inodes = Inodes::new(&tree, data, options, packer, index.len() + 1);
    let root = inodes.write()?;
    let notes = inodes.notes();
    let places = inodes.by_number(root);
    let (inode_blocks, directory_blocks) = (
        std::mem::take(&mut inodes.table.packed),
        std::mem::take(&mut inodes.directories.packed),
    );
    let (ids, xattrs, latest) = (
        std::mem::take(&mut inodes.ids),
        std::mem::take(&mut inodes.xattrs),
        inodes.latest,
    );
    drop(inodes);
    options.cancel.check()?;

    let inode_table = *position;
    let directory_table = inode_table + inode_blocks.len() as u64;
    let tables = || {
        out.write_all(&inode_blocks)?;
        out.write_all(&directory_blocks)?;
        *position = directory_table + directory_blocks.len() as u64;
        let mut fragments = Vec::with_capacity(data.fragments.len() * 16);
        for (at, size) in &data.fragments {
            fragments.extend(at.to_le_bytes());
            fragments.extend(size.to_le_bytes());
            fragments.extend(0_u32.to_le_bytes());
        }
        let fragment_table = write_list(&fragments, &[], out, position, packer)?;
        let export_table = write_list(&places, &[], out, position, packer)?;
        let owners: Vec<u8> = (ids.list.iter()).flat_map(|id| id.to_le_bytes()).collect();
        let id_table = write_list(&owners, &[], out, position, packer)?;
        let (xattr_table, without) = if xattrs.is_empty() {
            (NO_TABLE, flags::NO_XATTRS)
        } else {
            (xattrs.write(out, position, packer)?, 0)
        };
        let mut flags = flags::DUPLICATES | flags::EXPORTABLE | flags::COMPRESSOR_OPTIONS | without;
        if data.fragments.is_empty() {
            flags |= flags::NO_FRAGMENTS;
        }
        let time = options
            .epoch
            .map_or(latest, |t| t.clamp(0, u32::MAX.into()) as u32);
        Ok(Superblock {
            inodes: tree.inodes,
            time,
            block_size: options.block_size,
            fragments: data.fragments.len() as u32,
            compressor: options.compression.number(),
            flags,
            ids: ids.list.len() as u16,
            root: root.reference(),
            bytes: *position,
            id_table,
            xattr_table,
            inode_table,
            directory_table,
            fragment_table,
            export_table,
        })
    };
    let superblock = tables().map_err(WriteError::Output)?;
    Ok((superblock, notes))
}
