// SPDX-License-Identifier: GPL-2.0

//! Unit tests of bios without a block device.

#[macros::kunit_tests(rust_bio)]
mod tests {
    use crate::{
        bindings,
        block::bio::{
            sectors_to_bytes,
            segment::split_bvec,
            Bio,
            Operation, //
        },
        memremap::{
            Access,
            DeviceMemory, //
        },
        page::{
            Page,
            PAGE_SIZE, //
        },
        prelude::*,
        sync::{
            Arc,
            Completion, //
        },
    };

    const KIB: u32 = 1024;

    /// Makes a bio without a block device over `bvecs`, which must outlive it.
    fn init_bio(
        bio: &mut bindings::bio,
        bvecs: &mut [bindings::bio_vec],
        operation: bindings::req_op,
        len_bytes: u32,
    ) -> Bio {
        // SAFETY: `bio` and `bvecs` are valid, and there are as many as we say.
        unsafe {
            bindings::bio_init(
                bio,
                core::ptr::null_mut(),
                bvecs.as_mut_ptr(),
                bvecs.len() as u16,
                operation,
            )
        };
        bio.bi_vcnt = bvecs.len() as u16;
        bio.bi_iter.bi_size = len_bytes;

        // SAFETY: Nobody else owns the bio.
        unsafe { Bio::from_raw(bio) }
    }

    fn bvec(page: &Page, bv_offset: u32, bv_len: u32) -> bindings::bio_vec {
        bindings::bio_vec {
            bv_page: page.as_ptr(),
            bv_len,
            bv_offset,
        }
    }

    #[test]
    fn operations_are_told_apart() {
        let flags = 1 << bindings::req_flag_bits___REQ_FUA;

        for (op, expected) in [
            (bindings::req_op_REQ_OP_READ, Operation::Read),
            (bindings::req_op_REQ_OP_WRITE, Operation::Write),
            (bindings::req_op_REQ_OP_FLUSH, Operation::Flush),
            (bindings::req_op_REQ_OP_DISCARD, Operation::Discard),
            (bindings::req_op_REQ_OP_SECURE_ERASE, Operation::SecureErase),
            (bindings::req_op_REQ_OP_WRITE_ZEROES, Operation::WriteZeroes),
            (bindings::req_op_REQ_OP_ZONE_APPEND, Operation::Other),
            (bindings::req_op_REQ_OP_DRV_OUT, Operation::Other),
        ] {
            assert_eq!(Operation::from_opf(op), expected);
            assert_eq!(Operation::from_opf(op | flags), expected);
        }
    }

    #[test]
    fn sectors_that_do_not_fit_are_refused() {
        assert_eq!(sectors_to_bytes(0), Ok(0));
        assert_eq!(sectors_to_bytes(9), Ok(9 * 512));
        assert_eq!(sectors_to_bytes(u64::MAX >> 8), Err(ERANGE));
        assert_eq!(sectors_to_bytes(u64::MAX), Err(ERANGE));
    }

    #[test]
    fn bvecs_are_split_where_a_mapping_ends() {
        // (bv_len, bv_offset, done, left) in KiB.
        assert_eq!(split_bvec(4 * KIB, 0, 0, 4 * KIB), (4 * KIB, 0, 0));
        assert_eq!(split_bvec(4 * KIB, 0, 0, KIB), (KIB, 0, 0));
        assert_eq!(split_bvec(2 * KIB, KIB, KIB, 9 * KIB), (KIB, 0, 2 * KIB));
        if PAGE_SIZE == 4096 && !cfg!(CONFIG_HIGHMEM) {
            // One mapping reaches all pages.
            assert_eq!(split_bvec(64 * KIB, KIB, 0, 64 * KIB), (64 * KIB, 0, KIB));
            assert_eq!(
                split_bvec(64 * KIB, KIB, 9 * KIB, 64 * KIB),
                (55 * KIB, 2, 2 * KIB)
            );
        }
    }

    #[test]
    fn segments_cover_the_data_once() -> Result {
        let page = Page::alloc_page(GFP_KERNEL)?;
        let mut bvecs = [
            bvec(&page, 512, 1024),
            bvec(&page, 0, 512),
            bvec(&page, 1536, 2048),
        ];
        let mut raw = pin_init::zeroed();
        // The submitter wants only a part of the last one.
        let bio = init_bio(&mut raw, &mut bvecs, bindings::req_op_REQ_OP_WRITE, 2048);

        let mut seen = bio.segments().map(|segment| (segment.offset, segment.len));
        assert_eq!(seen.next(), Some((512, 1024)));
        assert_eq!(seen.next(), Some((0, 512)));
        assert_eq!(seen.next(), Some((1536, 512)));
        assert_eq!(seen.next(), None);
        drop(seen);
        bio.end(Ok(()));
        Ok(())
    }

    /// Returns device memory that counts: byte `i` is `i % 251`.
    fn pattern() -> Result<KVVec<u8>> {
        let mut buf = KVVec::from_elem(0, 2 * PAGE_SIZE, GFP_KERNEL)?;
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = (i % 251) as u8;
        }
        Ok(buf)
    }

    /// Returns what `page` holds at `offset`.
    fn contents<const N: usize>(page: &Page, offset: usize) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: `bytes` is valid for writes, and nobody else uses the page.
        unsafe { page.read_raw(bytes.as_mut_ptr(), offset, N) }?;
        Ok(bytes)
    }

    #[test]
    fn reads_fill_the_segments_in_order() -> Result {
        let mut buf = pattern()?;
        // SAFETY: `buf` is not used until the end of this function.
        let memory = unsafe { DeviceMemory::from_buf(&mut buf, 0, Access::ReadOnly) };
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        let mut bvecs = [bvec(&page, 2048, 1024), bvec(&page, 0, 512)];
        let mut raw = pin_init::zeroed();
        let bio = init_bio(&mut raw, &mut bvecs, bindings::req_op_REQ_OP_READ, 1536);
        // SAFETY: The bio is ours.
        unsafe { (*bio.0.as_ptr()).bi_iter.bi_sector = 1 };

        assert_eq!(bio.transfer(&memory), Ok(()));
        assert_eq!(contents(&page, 2048)?, [10u8, 11, 12, 13]);
        assert_eq!(
            contents(&page, 0)?,
            [(1536 % 251) as u8, (1537 % 251) as u8]
        );
        // What was not asked for is not touched.
        assert_eq!(contents(&page, 512)?, [0u8; 8]);
        assert_eq!(contents(&page, 3072)?, [0u8; 8]);

        let segment = bio.segments().next().ok_or(EIO)?;
        assert_eq!(segment.copy_from(&memory, 7), Ok(()));
        assert_eq!(contents(&page, 2048)?, [7u8, 8, 9]);
        assert_eq!(
            segment.copy_from(&memory, 2 * PAGE_SIZE - 1023),
            Err(ERANGE)
        );
        assert_eq!(segment.copy_to(&memory, 0), Err(EINVAL));
        bio.end(Ok(()));
        Ok(())
    }

    #[test]
    fn writes_reach_only_memory_that_may_be_written() -> Result {
        let mut buf = pattern()?;
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        let mut bvecs = [bvec(&page, 0, 512)];
        let mut raw = pin_init::zeroed();
        let bio = init_bio(&mut raw, &mut bvecs, bindings::req_op_REQ_OP_WRITE, 512);
        {
            // SAFETY: `buf` is not used until the end of this block.
            let memory = unsafe { DeviceMemory::from_buf(&mut buf, 0, Access::ReadOnly) };
            assert_eq!(bio.transfer(&memory), Err(EROFS));
        }
        assert_eq!(buf.get(..3), Some([0u8, 1, 2].as_slice()));
        {
            // SAFETY: As above.
            let memory = unsafe { DeviceMemory::from_buf(&mut buf, 0, Access::ReadWrite) };
            assert_eq!(bio.transfer(&memory), Ok(()));
        }
        assert_eq!(buf.get(510..514), Some([0u8, 0, 10, 11].as_slice()));
        bio.end(Ok(()));
        Ok(())
    }

    #[test]
    fn transfers_beyond_the_end_are_refused() -> Result {
        let mut buf = pattern()?;
        let sectors = (2 * PAGE_SIZE / 512) as u64;
        // SAFETY: `buf` is not used until the end of this function.
        let memory = unsafe { DeviceMemory::from_buf(&mut buf, 0, Access::ReadWrite) };
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;

        for op in [bindings::req_op_REQ_OP_READ, bindings::req_op_REQ_OP_WRITE] {
            for sector in [sectors - 1, sectors, u64::MAX >> 9, u64::MAX] {
                let mut bvecs = [bvec(&page, 0, 1024)];
                let mut raw = pin_init::zeroed();
                let bio = init_bio(&mut raw, &mut bvecs, op, 1024);
                // SAFETY: The bio is ours.
                unsafe { (*bio.0.as_ptr()).bi_iter.bi_sector = sector };

                assert_eq!(bio.transfer(&memory), Err(ERANGE));
                bio.end(Err(ERANGE));
            }
        }
        assert_eq!(contents(&page, 0)?, [0u8; 16]);
        Ok(())
    }

    #[test]
    fn operations_without_data_have_no_segments() {
        let mut raw = pin_init::zeroed();
        let bio = init_bio(&mut raw, &mut [], bindings::req_op_REQ_OP_DISCARD, 4096);

        assert_eq!(bio.len_bytes(), 4096);
        assert!(!bio.has_data());
        assert!(bio.segments().next().is_none());
        bio.end(Ok(()));
    }

    #[test]
    fn results_become_block_status() {
        for (result, status) in [
            (Ok(()), 0),
            (Err(EOPNOTSUPP), 1),
            (Err(ENOSPC), 3),
            (Err(ENOMEM), 9),
            (Err(EIO), 10),
            // There is no status for this one.
            (Err(EROFS), 10),
        ] {
            let mut raw = pin_init::zeroed();
            init_bio(&mut raw, &mut [], bindings::req_op_REQ_OP_WRITE, 0).end(result);
            assert_eq!(raw.bi_status, status);
        }
    }

    #[test]
    fn a_dropped_bio_ends_once_with_an_error() -> Result {
        /// Completes what the private data of the bio points to.
        ///
        /// # Safety
        ///
        /// The private data must be a `struct completion`.
        unsafe extern "C" fn end_io(bio: *mut bindings::bio) {
            // SAFETY: By the safety requirements, the private data is a `struct completion`.
            unsafe { bindings::complete((*bio).bi_private.cast()) };
        }

        let ended = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let mut raw = pin_init::zeroed();
        let bio = init_bio(&mut raw, &mut [], bindings::req_op_REQ_OP_WRITE, 0);
        // SAFETY: `bio` is valid. A `Completion` is a `struct completion`.
        unsafe {
            (*bio.0.as_ptr()).bi_end_io = Some(end_io);
            (*bio.0.as_ptr()).bi_private = Arc::as_ptr(&ended).cast_mut().cast();
        }
        drop(bio);

        assert!(ended.wait_for_completion_timeout(0).is_some());
        assert!(ended.wait_for_completion_timeout(0).is_none());
        assert_eq!(raw.bi_status, 10);
        Ok(())
    }
}
