//! What the extension points cost where nothing is attached: two blocks of
//! AST-Base on 8 clips of 100 frames, without gradients.
//!
//! `written out` is the plain AST as tensor operations in a row, with fused q,
//! k, v and libtorch's attention; `model` is `ast_model`, whose hooks all do
//! nothing. The two must give the same bits and take the same time.

use ast_model::{AstConfig, AstModel, BindOptions, Checkpoint, init};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tch::{Tensor, no_grad};

const CLIPS: i64 = 8;

/// The weights of one block, in the order of use.
struct Block {
    layernorms: [[Tensor; 2]; 2],
    qkv: [Tensor; 2],
    output: [Tensor; 2],
    feed_forward: [[Tensor; 2]; 2],
}

/// The plain AST with nothing but what it needs.
struct WrittenOut {
    config: AstConfig,
    patch: [Tensor; 2],
    special: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    layernorm: [Tensor; 2],
}

impl WrittenOut {
    fn new(checkpoint: &Checkpoint) -> Self {
        let get = |name: &str| checkpoint.tensors()[name].shallow_clone();
        let pair = |name: String| ["weight", "bias"].map(|part| get(&format!("{name}.{part}")));
        let block = |index: usize| {
            let at = |name: &str| pair(format!("encoder.layer.{index}.{name}"));
            let three = ["query", "key", "value"].map(|n| at(&format!("attention.attention.{n}")));
            let cat = |part: usize| Tensor::cat(&three.each_ref().map(|p| &p[part]), 0);
            Block {
                layernorms: [at("layernorm_before"), at("layernorm_after")],
                qkv: [cat(0), cat(1)],
                output: at("attention.output.dense"),
                feed_forward: [at("intermediate.dense"), at("output.dense")],
            }
        };
        let special = ["cls_token", "distillation_token"].map(|n| get(&format!("embeddings.{n}")));
        WrittenOut {
            config: checkpoint.config.clone(),
            patch: pair("embeddings.patch_embeddings.projection".into()),
            special: Tensor::cat(&special, 1),
            positions: get("embeddings.position_embeddings"),
            blocks: (0..checkpoint.config.num_hidden_layers)
                .map(block)
                .collect(),
            layernorm: pair("layernorm".into()),
        }
    }

    fn forward(&self, features: &Tensor) -> Tensor {
        let stride = [self.config.frequency_stride, self.config.time_stride];
        let image = features.unsqueeze(1).transpose(2, 3);
        let [weight, bias] = &self.patch;
        let patches = image.conv2d(weight, Some(bias), stride, [0, 0], [1, 1], 1);
        let special = self.special.expand([CLIPS, -1, -1], false);
        let mut x = Tensor::cat(&[special, patches.flatten(2, 3).transpose(1, 2)], 1);
        x = x + &self.positions;
        for block in &self.blocks {
            x = &x + self.attention(block, &self.normalised(&x, &block.layernorms[0]));
            let n2 = self.normalised(&x, &block.layernorms[1]);
            let [inner, outer] = &block.feed_forward;
            let hidden = n2.linear(&inner[0], Some(&inner[1])).gelu_("none");
            x = &x + hidden.linear(&outer[0], Some(&outer[1]));
        }
        self.normalised(&x, &self.layernorm)
    }

    fn attention(&self, block: &Block, n1: &Tensor) -> Tensor {
        let [batch, tokens, width] = n1.size()[..] else {
            unreachable!("[B, L, D]")
        };
        let heads = self.config.num_attention_heads;
        let split = |part: Tensor| {
            let shape = [batch, tokens, heads, width / heads];
            part.view(shape).transpose(1, 2)
        };
        let qkv = n1.linear(&block.qkv[0], Some(&block.qkv[1])).chunk(3, -1);
        let [q, k, v] = [0, 1, 2].map(|i: usize| split(qkv[i].shallow_clone()));
        let none = None::<&Tensor>;
        let mixed = Tensor::scaled_dot_product_attention(&q, &k, &v, none, 0.0, false, None, false);
        let merged = mixed.transpose(1, 2).reshape(n1.size());
        merged.linear(&block.output[0], Some(&block.output[1]))
    }

    fn normalised(&self, x: &Tensor, [weight, bias]: &[Tensor; 2]) -> Tensor {
        let (width, eps) = (self.config.hidden_size, self.config.layer_norm_eps);
        x.layer_norm([width], Some(weight), Some(bias), eps, false)
    }
}

fn extension_points(criterion: &mut Criterion) {
    let config = AstConfig {
        max_length: 100,
        num_hidden_layers: 2,
        ..AstConfig::base()
    };
    let checkpoint = Checkpoint::random(&config, 1).expect("a valid configuration");
    let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).expect("room for the model");
    let plain = WrittenOut::new(&checkpoint);
    let features = init::normal(1, "features", &[CLIPS, 100, config.num_mel_bins], 0.5);
    let forward = || model.forward_plain(&features).expect("fitting features");
    no_grad(|| assert_eq!(forward(), plain.forward(&features), "different bits"));

    let mut group = criterion.benchmark_group("plain AST, 2 blocks, forward");
    group.throughput(Throughput::Elements(CLIPS as u64));
    group.sample_size(40);
    group.bench_function("written out", |bencher| {
        no_grad(|| bencher.iter(|| black_box(plain.forward(&features))));
    });
    group.bench_function("model", |bencher| {
        no_grad(|| bencher.iter(|| black_box(forward())));
    });
    group.finish();
}

criterion_group!(benches, extension_points);
criterion_main!(benches);
