//! Cost of mixing experts: every router over N experts of width 6, on B 8
//! clips of L 590 tokens of width D 768.
//!
//! `forward` is inference without gradients; `train` is a forward and a
//! backward pass with gradients of the tokens and of every parameter, as inside
//! a backbone. `adapter` is one bottleneck adapter on the same tokens, as two
//! linear maps, and `bank of one` the same adapter as an expert bank;
//! `dense stacked` is the Dense-MoA that keeps all N outputs [B, L, N, D].
//! `none` passes the tokens on: what a `train` pass costs without any layer.

mod layers;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use layers::{B, D, L, Layer, all, fill, train};
use std::hint::black_box;
use tch::no_grad;

fn measure(c: &mut Criterion, pass: &str, layers: &[(i64, Layer)], run: impl Fn(&Layer)) {
    let mut group = c.benchmark_group(format!("routing/{pass}"));
    group
        .sample_size(20)
        .throughput(Throughput::Elements((B * L) as u64));
    for (n, layer) in layers {
        let id = BenchmarkId::new(layer.name, format!("N{n}"));
        group.bench_with_input(id, layer, |b, layer| b.iter(|| run(layer)));
    }
    group.finish();
}

fn routing(c: &mut Criterion) {
    // As the programs do: else page faults of fresh tensors are a third of the time.
    experiments::device::keep_memory();
    let layers = all();
    let x = fill(&[B, L, D], 8.0, 1.0);
    measure(c, "forward", &layers, |layer| {
        let _ = black_box(no_grad(|| (layer.forward)(&x)));
    });
    let x = x.set_requires_grad(true);
    let gradient = fill(&[B * L * D], 9.0, 1.0);
    measure(c, "train", &layers, |layer| {
        black_box(train(layer, &x, &gradient));
    });
}

criterion_group!(benches, routing);
criterion_main!(benches);
