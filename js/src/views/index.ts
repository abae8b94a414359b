// The views in the order of their tabs. A view is one file here and one line below.
import type { ComponentType } from "preact";
import type { View } from "../protocol";
import type { ViewProps } from "../state";
import { CompressionView } from "./compression";
import { DriftView } from "./drift";
import { FeaturesView } from "./features";
import { FiltersView } from "./filters";
import { QualityView } from "./quality";
import { SaliencyView } from "./saliency";
import { SimilarityView } from "./similarity";

export interface ViewEntry {
  id: View;
  label: string;
  View: ComponentType<ViewProps>;
}

export const VIEWS: readonly ViewEntry[] = [
  { id: "quality", label: "Quality", View: QualityView },
  { id: "filters", label: "Filters", View: FiltersView },
  { id: "saliency", label: "Saliency", View: SaliencyView },
  { id: "features", label: "Features", View: FeaturesView },
  { id: "similarity", label: "Similarity", View: SimilarityView },
  { id: "drift", label: "Drift", View: DriftView },
  { id: "compression", label: "Compression", View: CompressionView },
];
