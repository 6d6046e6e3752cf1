//! Batches to bytes and back.

use core::hint::black_box;

use bytes::{Buf, Bytes};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engraft::types::message::{Message, ReplicationBatch, ReplicationBatchHeader};
use engraft::types::{Control, Entry, Epoch, Position, Sequence, SpaceId, Time, WalEntryType};
use engraft::wire::{FrameDecoder, WireLimits, WriteBuffer, batch_frame_size, encode};

/// Entries in a batch; the default of a node.
const ENTRIES: usize = 100;

fn batch(size: usize) -> ReplicationBatch {
    let epoch = Epoch(1);
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..ENTRIES {
        let previous = entries.last().map(Entry::position).unwrap_or_default();
        let payload = Bytes::from(vec![7; size]);
        entries.push(Entry::following(&previous, epoch, WalEntryType::EpisodeStore, Control::user(), 0, payload));
    }
    let (previous, commit, sent) = (Position::default(), Sequence::ZERO, Time::ZERO);
    ReplicationBatch {
        header: ReplicationBatchHeader { space: SpaceId([1; 16]), epoch, lineage: Epoch::ZERO, previous, commit, sent },
        entries,
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for size in [16, 256, 1_024, 16_384] {
        let batch = batch(size);
        group.throughput(Throughput::Bytes(batch_frame_size(&batch)));
        let message = Message::Batch(batch);
        let mut buffer = WriteBuffer::new();
        group.bench_with_input(BenchmarkId::new("encode", size), &message, |bencher, message| {
            bencher.iter(|| {
                black_box(encode(message, &mut buffer));
                buffer.advance(buffer.len());
            });
        });
        encode(&message, &mut buffer);
        let frame = buffer.copy_to_bytes(buffer.remaining());
        let limits = WireLimits::new(64 << 20, 16 << 20);
        group.bench_with_input(BenchmarkId::new("decode", size), &frame, |bencher, frame| {
            let mut decoder = FrameDecoder::new(limits);
            let decode = |frame: Bytes| {
                decoder.push(frame);
                decoder.next().expect("it is whole")
            };
            bencher.iter_batched(|| frame.clone(), decode, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
