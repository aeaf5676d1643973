//! What the tool prints where no cluster is: help, validation, and what it says when something is missing. `TRYCMD=overwrite
//! cargo test` writes the expected output anew; read the difference before keeping it.

#[test]
fn prints_what_the_manual_shows() {
    let cases = trycmd::TestCases::new();
    cases
        .env("NO_COLOR", "1")
        .env("COALITION_DATA", "")
        .env("KUBECONFIG", "/nowhere/kubeconfig")
        .env("KUBERNETES_SERVICE_HOST", "")
        .case("tests/cmd/*.trycmd");
}
