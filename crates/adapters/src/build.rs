//! From a method's configuration to its tensors and modules.

use ast_model::{Checkpoint, Extension};

use crate::head::{HeadModule, HeadShape};
use crate::late::{FromBlock, block_of, is_after_blocks};
use crate::parameters::{Named, Parameters};
use crate::{AdaptOptions, AdapterError, Head, MethodConfig, PrototypicalHead};

/// Everything of a model that is not the backbone.
pub(crate) struct Parts {
    pub extension: Box<dyn Extension>,
    pub head: HeadModule,
    /// Trained tensors of the method and the head.
    pub created: Named,
    pub buffers: Named,
}

/// Checks method and options against a backbone.
pub(crate) fn check(
    checkpoint: &Checkpoint,
    method: &MethodConfig,
    options: &AdaptOptions,
) -> Result<(), AdapterError> {
    method.validate(&checkpoint.config)?;
    let refuse = |field, value: String, problem| {
        let method = method.name();
        Err(AdapterError::Config {
            method,
            field,
            value,
            problem,
        })
    };
    if !(1..=1 << 20).contains(&options.classes) {
        let problem = "must lie between 1 and 1048576";
        return refuse("classes", options.classes.to_string(), problem);
    }
    if let Head::Prototypical(PrototypicalHead { per_class: 0 }) = options.head {
        return refuse("head.per_class", "0".to_owned(), "must be at least 1");
    }
    let sees_tokens = matches!(options.head, Head::Attentive | Head::Prototypical(_));
    if options.mask_padding && (sees_tokens || !options.patchout.is_off()) {
        let problem = "does not work with this head or with patchout; use a head that pools and \
                       drop no patches, or turn it off";
        return refuse("mask_padding", "true".to_owned(), problem);
    }
    if options.first_block > checkpoint.config.num_hidden_layers {
        let problem = "must be at most the number of the backbone's blocks";
        return refuse("first_block", options.first_block.to_string(), problem);
    }
    Ok(())
}

/// Whether the backbone's tensor of this name trains.
pub(crate) fn trains(method: &MethodConfig, options: &AdaptOptions, name: &str) -> bool {
    method.method().trains(name) && reached(options, name)
}

/// Whether a tensor lies where the method acts.
fn reached(options: &AdaptOptions, name: &str) -> bool {
    options.first_block == 0
        || is_after_blocks(name)
        || block_of(name).is_some_and(|block| block >= options.first_block)
}

/// Creates head and modules; with `plan` names and shapes alone.
pub(crate) fn parts(
    checkpoint: &Checkpoint,
    method: &MethodConfig,
    options: &AdaptOptions,
    plan: bool,
) -> Result<Parts, AdapterError> {
    let parameters = if plan {
        Parameters::planning()
    } else {
        Parameters::new(options.seed, options.device)
    };
    let mut parameters = parameters.acting_from(options.first_block);
    let mut extension = method.method().build(checkpoint, &mut parameters)?;
    let config = &checkpoint.config;
    let shape = HeadShape {
        classes: options.classes,
        width: config.hidden_size,
        depth: config.num_hidden_layers as i64,
        eps: config.layer_norm_eps,
    };
    let head = HeadModule::new(options.head, shape, &mut parameters);
    let (mut created, mut buffers) = parameters.into_lists();
    if options.first_block > 0 {
        let mut outside = created.iter().chain(&buffers);
        if outside.any(|(name, _)| block_of(name).is_none() && !is_after_blocks(name)) {
            return Err(AdapterError::Config {
                method: method.name(),
                field: "first_block",
                value: options.first_block.to_string(),
                problem: "cannot be set: the method changes the tokens before the first block; \
                          leave it at 0",
            });
        }
        created.retain(|(name, _)| reached(options, name));
        buffers.retain(|(name, _)| reached(options, name));
        let first = options.first_block;
        extension = Box::new(FromBlock {
            inner: extension,
            first,
        });
    }
    Ok(Parts {
        extension,
        head,
        created,
        buffers,
    })
}

/// Names and shapes of every tensor that a model has trained or keeps, without
/// the memory for them.
pub(crate) fn plan(
    checkpoint: &Checkpoint,
    method: &MethodConfig,
    options: &AdaptOptions,
) -> Result<Vec<(String, Vec<i64>)>, AdapterError> {
    check(checkpoint, method, options)?;
    let parts = parts(checkpoint, method, options, true)?;
    let own = checkpoint.tensors().iter();
    let own = own.filter(|(name, _)| trains(method, options, name));
    let own = own.map(|(name, tensor)| (name.clone(), tensor.size()));
    let others = parts.created.iter().chain(&parts.buffers);
    let others = others.map(|(name, tensor)| (name.clone(), tensor.size()));
    Ok(own.chain(others).collect())
}
