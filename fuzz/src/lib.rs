//! Every trust boundary as a function of bytes that must return, whatever they are. The seeds are well-formed; what is made
//! of them is not.

pub mod mutate;
pub mod targets;

#[cfg(test)]
mod tests;
