/** Left half red, right half blue, 64 x 48: no encoder of the tests writes JPEG XL. */
export const HALVES_JXL = Buffer.from('/wrLQCQIAgEAjABLGIsVABzmP8YY489fIAQA+JrLBH1AymxAwSeigIgXwW9S1w==', 'base64');
