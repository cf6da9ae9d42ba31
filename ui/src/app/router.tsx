import { createHashRouter, Navigate } from "react-router"

import { pages } from "../pages"
import { Broken } from "./Broken"
import { Shell } from "./Shell"

/** Hash addresses: the gateway serves one file, and a proxy needs no rules. `projects/*`: a page may have its own. */
export const router = createHashRouter([
  {
    path: "/login",
    errorElement: <Broken />,
    lazy: async () => ({ Component: (await import("./SignIn")).SignIn }),
  },
  {
    path: "/",
    element: <Shell />,
    errorElement: <Broken />,
    children: [
      { index: true, element: <Navigate to="/overview" replace /> },
      ...pages.map(({ id, load }) => ({
        path: `${id}/*`,
        errorElement: <Broken />,
        lazy: async () => ({ Component: (await load()).default }),
      })),
      { path: "*", element: <Navigate to="/overview" replace /> },
    ],
  },
])
