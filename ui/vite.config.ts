import react from "@vitejs/plugin-react"
import { defineConfig } from "vite"

/** Relative addresses: the dashboard also works behind a proxy that gives the gateway a prefix. */
export default defineConfig({
  base: "./",
  plugins: [react()],
  html: { cspNonce: "__CSP_NONCE__" }, // put in by the gateway, another one for every answer
  build: {
    target: "es2022",
    outDir: process.env.UI_OUT ?? "../src/llm_gateway/web/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/admin/api": "http://127.0.0.1:8000", "/v1": "http://127.0.0.1:8000" } },
})
