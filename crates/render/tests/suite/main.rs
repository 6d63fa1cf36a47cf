//! What the writers promise, one module each.

mod any;
mod filter;
mod html;
mod json;
mod perfetto;
mod samples;
mod summary;
mod text;
mod why;

/// A trace may be written on another thread than the tracer's.
#[test]
fn sinks_can_be_sent_to_another_thread() {
    fn check<S: Send>() {}
    type Out = Vec<u8>;
    check::<tipstaff_render::Text<Out>>();
    check::<tipstaff_render::JsonLines<Out>>();
    check::<tipstaff_render::Summary<Out>>();
    check::<tipstaff_render::Perfetto<Out>>();
    check::<tipstaff_render::Html<Out>>();
    check::<tipstaff_render::Filtered<tipstaff_render::Why<Out>>>();
}
