//! Policy functions and what they rest on, in real boxes.
#![forbid(unsafe_code)]

mod births;
mod example;
mod functions;
mod guests;
mod late;
mod network;
mod restrict;
